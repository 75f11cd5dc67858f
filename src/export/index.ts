export { importJobs, sweepImports } from './import.ts';
export { exportRoutes } from './routes.ts';
