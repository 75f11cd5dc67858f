export { createFollow, endFollowers, type Follow, followerCount } from './follow.ts';
export { eventRoutes } from './routes.ts';
export { event } from './schemas.ts';
export { listEvents, readClock } from './sql.ts';
