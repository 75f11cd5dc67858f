export { type HandedItem, readCapsules } from './expand.ts';
export { capsuleRoutes } from './routes.ts';
export { sweepCapsules } from './sql.ts';
