export { type Cited, cite, findDangling, findReplaced, type Replacing, refuseDangling } from './refs.ts';
export { memoryRoutes } from './routes.ts';
export { sweepMemories } from './sql.ts';
export { findUnreadableMemories } from './unreadable.ts';
export { sha256Hex, wishOf } from './wish.ts';
