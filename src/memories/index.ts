export { type Cited, cite, findDangling, findReplaced, type Replacing, refuseDangling } from './refs.ts';
export { memoryRoutes } from './routes.ts';
export { sweepMemories } from './sql.ts';
export { sha256Hex, wishOf } from './wish.ts';
