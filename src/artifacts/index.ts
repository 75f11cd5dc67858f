export { artifactRoutes } from './routes.ts';
export { insertArtifact } from './sql.ts';
