import type { Feature } from '../feature.ts';
import { type Backlog, openBacklog } from './backlog.ts';
import type { OpenModels } from './models.ts';
import { sweepReplaced } from './sql.ts';
import { openVectorIndex, type VectorIndex } from './vector_index.ts';

export {
  type Models,
  modelServices,
  type OpenModels,
  openModels,
  type QueryVector,
  type RemoteConfig,
  remoteModels,
  remoteSettings,
} from './models.ts';
export { arePassagesPending, readCosines } from './sql.ts';
export { signsOf } from './vector.ts';

interface Embeddings {
  models: OpenModels;
  /** Undefined without EMBEDDINGS_URL. */
  backlog: Backlog | undefined;
  /** Undefined without EMBEDDINGS_URL, and on the embedded engine, which has a single session. */
  index: VectorIndex | undefined;
}

export const feature: Feature<Embeddings> = {
  open: ({ models, config, tenants, watch, connect, embedded, log }) => ({
    models,
    backlog:
      models.embedder &&
      openBacklog({
        ...models.embedder,
        tenants,
        watch,
        batch: config.EMBEDDINGS_BATCH_SIZE,
        lease_ms: config.JOB_LEASE_MS,
        log,
      }),
    index:
      models.embedder && !embedded
        ? openVectorIndex(connect, [models.embedder.model, ...models.embedder.previous], log)
        : undefined,
  }),
  sweeps: ({ models }) => (models.embedder ? [sweepReplaced(models.embedder.model.key)] : []),
  figures: ({ metrics }, { backlog }) => {
    const help = 'Events of all tenants (of the first 1000 that lag) whose passages are not embedded yet, as of the last scan';
    metrics.gauge('embeddings_backlog_events', help, () => backlog?.lag());
  },
  start: ({ backlog, index }) => {
    backlog?.start();
    index?.start();
  },
  stop: async ({ models, backlog, index }) => {
    await Promise.all([backlog?.stop(), index?.stop()]);
    models.close();
  },
};
