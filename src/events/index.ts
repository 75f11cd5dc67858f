export { createFollow, endFollowers, type Follow, followerCount } from './follow.ts';
export { eventRoutes } from './routes.ts';
export { listEvents, readClock } from './sql.ts';
