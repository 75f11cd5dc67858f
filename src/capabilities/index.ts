import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import { spendToken } from '../limits/index.ts';
import { capabilityCredentials } from './credential.ts';
import { isolation } from './isolation.ts';
import { type CapabilityKeys, capabilityKeysOf } from './keys.ts';
import { capabilityRoutes } from './routes.ts';
import { sweepCapabilities } from './sql.ts';

export { capabilityKeysOf } from './keys.ts';
export { mint } from './mint.ts';
export { capabilityBody } from './schemas.ts';

interface Capabilities {
  /** Undefined in production if no key is configured. */
  keys: CapabilityKeys | undefined;
}

export const feature: Feature<Capabilities> = {
  open: ({ config, tenants, auth }) => {
    const keys = capabilityKeysOf(config);
    const { REGION: region, CREDENTIAL_TTL_MS: ttl_ms } = config;
    auth.accept(capabilityCredentials({ keys, region, tenants, ttl_ms, spend: spendToken }));
    return { keys };
  },
  routes: ({ auth }, { keys }) => capabilityRoutes(keys, auth),
  sweeps: () => [sweepCapabilities],
  prefixes: { jti: 'free' },
  audit: ['capability.minted', 'capability.revoked'],
  isolation,
  tags: { Capabilities: 'Credentials for some operations on some namespaces.' },
  examples: () => readExamples(import.meta.dirname),
};
