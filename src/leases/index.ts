import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { isolation } from './isolation.ts';
import { openQueues, type Queues } from './queue.ts';
import { leaseRoutes } from './routes.ts';
import { sweepLeases } from './sql.ts';

export { acquire, release, renew } from './hold.ts';

export const feature: Feature<Queues> = {
  open: ({ watch, log }) => openQueues(watch, log),
  routes: (_, queues) => leaseRoutes(queues),
  sweeps: () => [sweepLeases],
  figures: ({ metrics }, queues) => {
    metrics.gauge('lease_waiters', 'Requests of this daemon that wait for a lease', queues.size);
  },
  drain: (queues) => queues.stop(),
  kinds: ['lease.acquired', 'lease.released'],
  isolation,
  tags: { Leases: 'Exclusive use of a name for a limited time, with fencing tokens that every write can carry.' },
  examples: () => readExamples(import.meta.dirname),
};
