export { readLedger } from './ledger.ts';
export { pace } from './pace.ts';
export { replayErasures } from './replay.ts';
export { type ErasureNeeds, eraser, erasureRoutes } from './routes.ts';
export { dropMarks } from './sql.ts';
