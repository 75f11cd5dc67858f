export { artifactRoutes } from './routes.ts';
export { bufferOf, screenLarge } from './screen.ts';
export { type NewArtifact, sweepArtifacts } from './sql.ts';
export { commitWithArtifacts, sha256Of } from './stage.ts';
