import { readExamples } from '../examples.ts';
import type { Feature, Parts } from '../feature.ts';
import { batchRoutes } from './batch_routes.ts';
import { type Expiry, openExpiry } from './expiry.ts';
import { isolation } from './isolation.ts';
import { listRoutes } from './lists.ts';
import { portable } from './portable.ts';
import { objectRoutes, writingOf } from './routes.ts';

export { permissionsOf, visibilityOfLists } from './audience.ts';
export { pageOfObjects } from './lists.ts';
export { queryBody } from './query_schemas.ts';
export { readObject } from './routes.ts';
export { type At, at, key, namespace, namespaceParams, putBody, type StateObject } from './schemas.ts';
export { type Moment, momentOf, type ObjectRow, objectOf } from './sql.ts';
export { stateFeed } from './watch.ts';
export { type Change, commitChanges } from './write.ts';

const writingWith = ({ bounds: { json, events }, secrets }: Pick<Parts, 'bounds' | 'secrets'>) =>
  writingOf({ json, maxBytes: events.maxEventBytes, maxTotalBytes: json.maxBytes }, secrets);

/** Returns the function that reads the limits of a caller's writes. */
export const writeLimitsOf = (parts: Pick<Parts, 'bounds' | 'secrets'>) => writingWith(parts).limitsOf;

export const feature: Feature<Expiry> = {
  open: ({ tenants, log }) => openExpiry(tenants, log),
  start: (expiry) => expiry.start(),
  stop: (expiry) => expiry.stop(),
  routes: (parts) => {
    const writing = writingWith(parts);
    return [...objectRoutes(writing), ...listRoutes(parts.follow), ...batchRoutes(writing)];
  },
  kinds: ['state.put', 'state.deleted', 'state.expired'],
  isolation,
  tags: { State: 'Values of agents under a namespace and a key, with versions, tags and expiry.' },
  examples: () => readExamples(import.meta.dirname),
  portable: () => portable,
};
