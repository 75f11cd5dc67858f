export { artifactRoutes } from './routes.ts';
export { insertArtifact, sweepArtifacts } from './sql.ts';
