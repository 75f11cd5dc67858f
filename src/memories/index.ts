import type { Feature } from '../feature.ts';
import { isolation } from './isolation.ts';
import { portable } from './portable.ts';
import { memoryRoutes } from './routes.ts';
import { eventKinds, memoryKinds } from './schemas.ts';
import { openSources } from './sources.ts';
import { sweepMemories } from './sql.ts';
import { findUnreadableMemories } from './unreadable.ts';

export { standingsOf } from './answer.ts';
export { memoryReads } from './lists.ts';
export { findReplaced, type Replacing } from './replaced.ts';
export { memory } from './schemas.ts';
export { isAct } from './sources.ts';
export { type MemoryWish, madeIn, memoryIdOf, sha256Hex, wishOf, withMemory } from './wish.ts';

export const feature: Feature = {
  routes: ({ config, known, bounds, secrets, changed }) => {
    const sources = openSources(config.CREDENTIAL_TTL_MS);
    changed.hear(sources.forget);
    return memoryRoutes({ ...bounds.events, citedPrefixes: known.citedPrefixes }, secrets, sources);
  },
  sweeps: () => [sweepMemories],
  kinds: [...eventKinds, ...memoryKinds],
  prefixes: { mem: 'cited' },
  audit: ['memory.approved', 'memory.rejected'],
  isolation,
  portable: () => portable,
  unreadable: findUnreadableMemories,
};
