import { ledgerOf } from '../config.ts';
import { announceDeletion } from '../erasure/index.ts';
import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { type Erasures, openErasures } from './erase.ts';
import { isolation } from './isolation.ts';
import { tenantRoutes } from './routes.ts';

export { deleteTenant, eraseNow } from './erase.ts';
export { settings as tenantSettings } from './schemas.ts';
export { listTenants, setQuota, setSuspended } from './sql.ts';

export const feature: Feature<Erasures> = {
  open: ({ tenants, log }) => openErasures(tenants, log),
  routes: ({ config, seal, auth, secrets, changed, log }, { erase }) => {
    const announce = announceDeletion({ seal, ledger: ledgerOf(config), warn: log.warn.bind(log) });
    return tenantRoutes({ announce, invalidate: auth.invalidate, erase, changed: changed.emit }, secrets);
  },
  start: (erasures) => erasures.start(),
  stop: (erasures) => erasures.stop(),
  audit: ['tenant.created', 'tenant.changed', 'tenant.quota_set', 'tenant.suspended', 'tenant.resumed', 'tenant.deleted'],
  isolation,
  tags: { Tenant: 'Settings, quotas and usage of the tenant.' },
  examples: () => readExamples(import.meta.dirname),
};
