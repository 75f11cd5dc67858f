import { readExamples } from '../examples.ts';
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
  tags: { Counters: 'Named numbers that are set by compare-and-set.' },
  examples: () => readExamples(import.meta.dirname),
  portable: () => portable,
};
