import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { copyRoutes } from './copy_routes.ts';
import { isolation } from './isolation.ts';
import { portable } from './portable.ts';
import { snapshotRoutes } from './routes.ts';
import { sweepSnapshots } from './sql.ts';

export { dumpState, restoreByOperator } from './restore.ts';
export { snapshotBody, snapshotName } from './schemas.ts';
export { createSnapshot, listSnapshots } from './sql.ts';

export const feature: Feature = {
  routes: () => [...snapshotRoutes, ...copyRoutes],
  sweeps: () => [sweepSnapshots],
  conflicts: { snapshots_pkey: 'A snapshot with this name exists.' },
  audit: ['snapshot.created', 'snapshot.deleted', 'state.restored', 'state.restore_previewed'],
  isolation,
  tags: { Snapshots: 'Names of positions in the log, whose state stays readable, and restores and forks of state.' },
  examples: () => readExamples(import.meta.dirname),
  portable: () => portable,
};
