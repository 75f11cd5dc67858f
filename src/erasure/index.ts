import { ledgerOf } from '../config.ts';
import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { isolation } from './isolation.ts';
import { reports } from './portable.ts';
import { erasesItsCreator, erasureHandler, erasureRoutes, previewHandler } from './routes.ts';
import { sweepMarks } from './sql.ts';

export { controlRecorder, type ReplayChange, replayControls } from './controls.ts';
export { announceDeletion } from './deletion.ts';
export { type LedgerEntry, readLedger } from './ledger.ts';
export { replayErasures } from './replay.ts';
export { erasureHandler } from './routes.ts';
export { dropMarks } from './sql.ts';
export { adaptiveStepLimit } from './step_limit.ts';

export const feature: Feature = {
  routes: ({ jobs, seal }) => erasureRoutes(jobs, seal),
  jobs: ({ config, seal, auth: { invalidate }, audit, log }) => ({
    erasure: {
      run: erasureHandler({
        seal,
        ledger: ledgerOf(config),
        warn: log.warn.bind(log),
        invalidate,
        eraseAudit: audit.eraseSubject,
      }),
      continuesWithoutStarter: erasesItsCreator,
    },
    erasure_preview: previewHandler({ countAudit: audit.countSubject }),
  }),
  sweeps: () => [sweepMarks],
  kinds: Object.keys(reports),
  prefixes: { del: 'free' },
  audit: ['erasure.previewed', 'erasure.begun'],
  isolation,
  tags: { Erasure: 'Removal of everything about a user, session, project or agent.' },
  examples: () => readExamples(import.meta.dirname),
  reports: () => reports,
};
