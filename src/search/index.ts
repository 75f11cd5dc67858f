import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { isolation } from './isolation.ts';
import { searchRoutes } from './routes.ts';

export { scoring } from './rank.ts';
export { searchRoutes } from './routes.ts';
export {
  asOfFields,
  bothMinScoreFields,
  bothQueryFields,
  degraded,
  hasAtMostOneMinScore,
  hasAtMostOneQuery,
  minScoreFields,
  origin,
  queryFields,
  trust,
} from './schemas.ts';
export { type Hit, MAX_RESULTS, type SearchResult, searchPassages } from './search.ts';
export { isReadable, type MemoryDetails, type SearchScope } from './sql.ts';

export const feature: Feature = {
  routes: ({ models }) => searchRoutes(models),
  isolation,
  tags: { Search: 'Full-text search over the passages of events and memories.' },
  examples: () => readExamples(import.meta.dirname),
};
