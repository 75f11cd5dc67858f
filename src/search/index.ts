import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { isolation } from './isolation.ts';
import { searchRoutes } from './routes.ts';

export { type Found, find, type Hit, MAX_FOUND } from './find.ts';
export { scoring } from './rank.ts';
export { searchRoutes } from './routes.ts';
export { asOf, degraded, isAskedOnce, origin, question, trust, twice } from './schemas.ts';
export { isReadable, type MemoryDetails, type Scope } from './sql.ts';

export const feature: Feature = {
  routes: () => searchRoutes,
  isolation,
  examples: () => readExamples(import.meta.dirname),
};
