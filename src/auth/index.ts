import type { IncomingMessage } from 'node:http';
import type { Config } from '../config.ts';
import type { Tenants } from '../db/tenant.ts';
import { Problem } from '../http/problem.ts';
import type { Route } from '../http/route.ts';
import type { Logger } from '../log.ts';
import type { Caller } from './principal.ts';

export * from './principal.ts';
export * from './visibility.ts';

/** Until authentication lands: nobody is let in. */
export const openAuth = (_config: Config & { JWT_SECRET: string }, _tenants: Tenants, _log: Logger) => ({
  identify: (_req: IncomingMessage): Promise<Caller> => Promise.reject(new Problem('unauthenticated', 'Not built yet.')),
  routes: [] as Route<Caller>[],
});
