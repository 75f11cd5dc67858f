import { ledgerOf } from '../config.ts';
import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { isolation } from './isolation.ts';
import { reports } from './portable.ts';
import { eraser, erasesItsMaker, erasureRoutes, previewer } from './routes.ts';
import { sweepMarks } from './sql.ts';

export { announceDeletion } from './deletion.ts';
export { type LedgerEntry, readLedger } from './ledger.ts';
export { pace } from './pace.ts';
export { replayErasures } from './replay.ts';
export { eraser } from './routes.ts';
export { dropMarks } from './sql.ts';

export const feature: Feature = {
  routes: ({ jobs, seal }) => erasureRoutes(jobs, seal),
  jobs: ({ config, seal, auth: { forget }, audit, log }) => ({
    erasure: {
      run: eraser({ seal, ledger: ledgerOf(config), warn: log.warn.bind(log), forget, eraseAudit: audit.eraseSubject }),
      outlives: erasesItsMaker,
    },
    erasure_preview: previewer({ countAudit: audit.countSubject }),
  }),
  sweeps: () => [sweepMarks],
  kinds: Object.keys(reports),
  prefixes: { del: 'free' },
  audit: ['erasure.previewed', 'erasure.begun'],
  isolation,
  examples: () => readExamples(import.meta.dirname),
  reports: () => reports,
};
