export { type Handed, readCapsules } from './expand.ts';
export { capsuleRoutes } from './routes.ts';
export { sweepCapsules } from './sql.ts';
