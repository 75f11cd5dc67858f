export { retentionPreviewer } from './preview.ts';
export { retentionRoutes } from './routes.ts';
export { retainer, sweepRetention } from './run.ts';
export { policyBody } from './schemas.ts';
