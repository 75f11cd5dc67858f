import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { isolation } from './isolation.ts';
import { portable } from './portable.ts';
import { capsuleRoutes } from './routes.ts';
import { sweepCapsules } from './sql.ts';

export { type OpenedCapsule, readCapsules } from './expand.ts';

export const feature: Feature = {
  routes: () => capsuleRoutes,
  sweeps: () => [sweepCapsules],
  kinds: ['capsule.created', 'capsule.revoked'],
  prefixes: { cap: 'cited' },
  isolation,
  tags: { Capsules: 'Sets of items that are shared with named readers until they expire.' },
  examples: () => readExamples(import.meta.dirname),
  portable: () => portable,
};
