export { contextRoutes } from './routes.ts';
export { loadTokenCounter } from './tokens.ts';
