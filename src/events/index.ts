export { draftLarge, type LargeRequest } from './draft.ts';
export { createFollow, endFollowers, type Follow, followerFigures, recheckFollowers } from './follow.ts';
export { eventReads, eventRoutes } from './routes.ts';
export { event } from './schemas.ts';
export { type Entry, eventsOf, listEvents, readClock } from './sql.ts';
export { findUnreadable } from './unreadable.ts';
