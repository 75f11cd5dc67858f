import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { isolation } from './isolation.ts';
import { portableOf, reportsOf } from './portable.ts';
import { previewHandler } from './preview.ts';
import { retentionRoutes } from './routes.ts';
import { type Count, retentionHandler, sweepRetention } from './run.ts';

const TRIMS = 'Events that trims dropped, or carried before the beginning of a log';

export const feature: Feature<Count> = {
  open: ({ metrics }) => {
    const count = metrics.counter('trim_events_total', TRIMS, ['what']);
    for (const what of ['trimmed', 'carried']) count({ what }, 0);
    return count;
  },
  routes: ({ jobs, registry }) => retentionRoutes(jobs, registry.kinds),
  jobs: ({ audit }, count) => ({
    retention: retentionHandler({ record: audit.record, count }),
    retention_preview: previewHandler,
  }),
  sweeps: ({ jobs }) => [sweepRetention(jobs)],
  kinds: ['retention.forgot'],
  audit: ['retention.changed', 'retention.previewed', 'retention.begun', 'retention.trimmed'],
  isolation,
  tags: { Retention: 'Rules for the automatic removal of old events.' },
  examples: () => readExamples(import.meta.dirname),
  portable: portableOf,
  reports: reportsOf,
};
