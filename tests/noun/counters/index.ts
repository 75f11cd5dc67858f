import type { Feature } from '../feature.ts';
import { isolation } from './isolation.ts';
import { portable } from './portable.ts';
import { counterRoutes } from './routes.ts';
import { sweepCounters } from './sql.ts';

export const feature: Feature = {
  routes: () => counterRoutes,
  sweeps: () => [sweepCounters],
  kinds: ['counter.set'],
  prefixes: { ctr: 'free' },
  isolation,
  portable: () => portable,
};
