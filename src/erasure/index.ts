export { readLedger } from './ledger.ts';
export { replayErasures } from './replay.ts';
export { type ErasureNeeds, eraser, erasureRoutes } from './routes.ts';
