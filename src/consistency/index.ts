export { consistencyJobs, consistencyRoutes } from './routes.ts';
export { verifyImport } from './verify.ts';
