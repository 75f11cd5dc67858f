export { standingsOf } from './answer.ts';
export { memoryReads } from './lists.ts';
export { type Cited, cite, citeOne, findDangling, findReplaced, type Replacing, refuseDangling } from './refs.ts';
export { memoryRoutes } from './routes.ts';
export { memory } from './schemas.ts';
export { isAct, openSources, type Sources } from './sources.ts';
export { sweepMemories } from './sql.ts';
export { findUnreadableMemories } from './unreadable.ts';
export { memoryIdOf, sha256Hex, wishOf } from './wish.ts';
