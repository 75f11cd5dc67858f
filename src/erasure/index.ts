export { announceDeletion } from './deletion.ts';
export { type LedgerEntry, readLedger } from './ledger.ts';
export { pace } from './pace.ts';
export { replayErasures } from './replay.ts';
export { type ErasureNeeds, eraser, erasureRoutes, previewer } from './routes.ts';
export { dropMarks, sweepMarks } from './sql.ts';
