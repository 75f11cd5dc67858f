export { type Erasures, eraseNow, startErasures } from './erase.ts';
export { tenantRoutes } from './routes.ts';
export { closeTenant, listTenants, setQuota, setSuspended } from './sql.ts';
