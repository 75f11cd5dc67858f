export { STALE_S, sweepImports } from './import.ts';
export { type ExportNeeds, exportRoutes } from './routes.ts';
export type { Taken } from './take.ts';
