import type { Config } from '../config.ts';
import type { Pool } from '../db/pool.ts';
import type { Logger } from '../log.ts';

/** Until the limits land: nothing is limited. */
export const createLimits = (_config: Config, _pool: Pool, _log: Logger) => ({
  admit: async () => undefined,
  stop: async () => undefined,
});
