import type { Feature } from '../feature.ts';

export { withPassages } from './effect.ts';
export { indexOf, type Passage, passagesOf, textOf } from './passages.ts';
export { type ChunkPlace, chunkId, chunkPlace } from './place.ts';
export { rebuildTenant } from './rebuild.ts';
export { estimateTokens } from './split.ts';

export const feature: Feature = { prefixes: { chk: 'cited' } };
