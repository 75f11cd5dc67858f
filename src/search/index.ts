export { type Found, find, type Hit, MAX_FOUND } from './find.ts';
export { indexOf, passagesOf, SEARCHABLE_BYTES, textOf } from './passages.ts';
export { scoring } from './rank.ts';
export { rebuildTenant } from './rebuild.ts';
export { chunkId, chunkPlace, searchRoutes } from './routes.ts';
export { asOf, degraded, isAskedOnce, origin, question, trust, twice } from './schemas.ts';
export { estimateTokens } from './split.ts';
export { isReadable, type Scope, type Standing } from './sql.ts';
