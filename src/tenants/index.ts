export { type Erasures, startErasures } from './erase.ts';
export { tenantRoutes } from './routes.ts';
export { closeTenant, setQuota, setSuspended } from './sql.ts';
