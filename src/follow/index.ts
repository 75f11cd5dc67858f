export type { Feed, FeedRange, Format, Message } from './feed.ts';
export { type Follow, openFollow } from './follow.ts';
export { assertRetainedAfter } from './retained.ts';
export { readLogBounds } from './sql.ts';
export { initialScan, isStatementTimeout, nextScan, scanAfterTimeout } from './throttle.ts';
