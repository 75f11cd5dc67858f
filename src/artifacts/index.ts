import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { isolation } from './isolation.ts';
import { portable } from './portable.ts';
import { artifactRoutes } from './routes.ts';
import { sweepArtifacts } from './sql.ts';

export { bufferOf, screenLarge } from './screen.ts';
export type { NewArtifact } from './sql.ts';
export { commitWithArtifacts, sha256Of, withArtifact } from './stage.ts';

export const feature: Feature = {
  routes: ({ config, secrets, workers }) => artifactRoutes(config.MAX_ARTIFACT_BYTES, secrets, workers),
  sweeps: () => [sweepArtifacts],
  prefixes: { art: 'cited' },
  isolation,
  tags: { Artifacts: 'Files that are too large for an event.' },
  examples: () => readExamples(import.meta.dirname),
  portable: () => portable,
};
