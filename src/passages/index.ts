import type { Feature } from '../feature.ts';

export { type ChunkPosition, chunkId, parseChunkId } from './chunk_id.ts';
export { withPassages } from './effect.ts';
export { indexOf, type Passage, passagesOf, textOf } from './passages.ts';
export { rebuildTenant } from './rebuild.ts';
export { estimateTokens } from './split.ts';
export { termPieces, withTerms } from './terms.ts';
export { traits } from './traits.ts';

export const feature: Feature = { prefixes: { chk: 'cited' } };
