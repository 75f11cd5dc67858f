export { jobRoutes } from './routes.ts';
export { type Begun, type Handler, type Handlers, type Job, JobStopped, type Jobs, openJobs } from './run.ts';
export { accepted, started } from './schemas.ts';
export { readJob, startJob, sweepJobs } from './sql.ts';
export { startAndWait } from './wait.ts';
