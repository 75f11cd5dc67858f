export { type Announce, deleteTenant, type Erasures, eraseNow, startErasures } from './erase.ts';
export { tenantRoutes } from './routes.ts';
export { settings as tenantSettings } from './schemas.ts';
export { listTenants, setQuota, setSuspended } from './sql.ts';
