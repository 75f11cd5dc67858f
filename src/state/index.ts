import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { batchRoutes } from './batch_routes.ts';
import { type Expiry, openExpiry } from './expiry.ts';
import { isolation } from './isolation.ts';
import { listRoutes } from './lists.ts';
import { portable } from './portable.ts';
import { objectRoutes, writingOf } from './routes.ts';

export { permissionsOf, visibilityOfLists } from './audience.ts';
export { type At, at, namespace, namespaceParams, type StateObject } from './schemas.ts';
export { type Moment, momentOf, type ObjectRow, objectOf } from './sql.ts';

export const feature: Feature<Expiry> = {
  open: ({ tenants, log }) => openExpiry(tenants, log),
  start: (expiry) => expiry.start(),
  stop: (expiry) => expiry.stop(),
  routes: ({ bounds: { json, events }, secrets, follow }) => {
    const writing = writingOf({ json, maxBytes: events.maxEventBytes, maxTotalBytes: json.maxBytes }, secrets);
    return [...objectRoutes(writing), ...listRoutes(follow), ...batchRoutes(writing)];
  },
  kinds: ['state.put', 'state.deleted', 'state.expired'],
  isolation,
  tags: { State: 'Values of agents under a namespace and a key, with versions, tags and expiry.' },
  examples: () => readExamples(import.meta.dirname),
  portable: () => portable,
};
