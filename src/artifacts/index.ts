export { artifactRoutes } from './routes.ts';
export { type NewArtifact, sweepArtifacts } from './sql.ts';
export { commitWithArtifacts, sha256Of } from './stage.ts';
