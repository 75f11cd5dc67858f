import { ledgerOf } from '../config.ts';
import { controlRecorder } from '../erasure/index.ts';
import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { spendToken, sweepBuckets } from '../limits/index.ts';
import { capabilityCredentials } from './credential.ts';
import { type Announcement, announceKeys } from './daemons.ts';
import { isolation } from './isolation.ts';
import { type CapabilityKeys, capabilityKeysOf } from './keys.ts';
import { capabilityRoutes, replayRevocation } from './routes.ts';
import { sweepCapabilities } from './sql.ts';

export { mintingKey } from './daemons.ts';
export { capabilityKeysOf } from './keys.ts';
export { mint } from './mint.ts';
export { capabilityBody } from './schemas.ts';

interface Capabilities {
  /** Undefined in production if no key is configured. */
  keys: CapabilityKeys | undefined;
  announcement: Announcement | undefined;
}

export const feature: Feature<Capabilities> = {
  open: ({ config, tenants, auth, log }) => {
    const keys = capabilityKeysOf(config);
    const { REGION: region, CREDENTIAL_TTL_MS: ttl_ms } = config;
    auth.accept(capabilityCredentials({ keys, region, tenants, ttl_ms, spend: spendToken }));
    return { keys, announcement: keys && announceKeys(tenants, keys, log) };
  },
  routes: ({ auth, tenants, config, seal, log }, { keys }) =>
    capabilityRoutes(keys, tenants, auth, controlRecorder({ seal, ledger: ledgerOf(config), warn: log.warn.bind(log) })),
  replays: { capability: replayRevocation },
  sweeps: () => [sweepCapabilities, sweepBuckets],
  start: ({ announcement }) => announcement?.start(),
  stop: async ({ announcement }) => announcement?.stop(),
  prefixes: { jti: 'free', dmn: 'free' },
  audit: ['capability.minted', 'capability.revoked'],
  isolation,
  tags: { Capabilities: 'Credentials for some operations on some namespaces.' },
  examples: () => readExamples(import.meta.dirname),
};
