import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { isolation } from './isolation.ts';
import { portable } from './portable.ts';
import { eventRoutes } from './routes.ts';
import { kinds } from './schemas.ts';

export { draftLarge, type LargeRequest } from './draft.ts';
export { eventReads } from './routes.ts';
export { type Entry, listEvents } from './sql.ts';
export { findUnreadable } from './unreadable.ts';

export const feature: Feature = {
  routes: ({ config, registry, bounds, secrets, workers, follow }) => {
    const sizes = { maxBatchBytes: config.MAX_BATCH_BYTES, maxSingle: config.MAX_BODY_BYTES };
    const limits = { ...bounds.events, ...sizes, citedPrefixes: registry.citedPrefixes, json: bounds.json, workers };
    return eventRoutes(follow, { ...limits, handlers: registry.effects }, secrets);
  },
  figures: ({ metrics }) => metrics.countProblem('/v1/events', 'storage-full', 0),
  kinds,
  prefixes: { evt: 'cited' },
  audit: ['secret.revealed'],
  isolation,
  tags: {
    Events:
      'Immutable records in the append-only log: messages, tool calls and their results, decisions, task updates and artifacts.',
  },
  examples: () => readExamples(import.meta.dirname),
  portable: () => portable,
};
