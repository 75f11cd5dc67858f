import type { Config } from '../config.ts';
import { generatedSecret } from '../generated_secrets.ts';

export interface CapabilityKey {
  kid: string;
  key: Buffer;
}

export interface CapabilityKeys {
  active: CapabilityKey;
  next: CapabilityKey | undefined;
  /** The keys whose capabilities are valid, by kid. */
  accepted: Map<string, Buffer>;
}

type KeySettings = Pick<
  Config,
  'NODE_ENV' | 'DATA_DIR' | 'CAP_KEY_ACTIVE' | 'CAP_KEY_ACTIVE_ID' | 'CAP_KEY_NEXT' | 'CAP_KEY_NEXT_ID'
>;

/** Returns undefined in production if no key is configured; then there are no capabilities. */
export function capabilityKeysOf(config: KeySettings): CapabilityKeys | undefined {
  const { NODE_ENV, DATA_DIR, CAP_KEY_ACTIVE, CAP_KEY_ACTIVE_ID, CAP_KEY_NEXT, CAP_KEY_NEXT_ID } = config;
  const secret = CAP_KEY_ACTIVE ?? (NODE_ENV === 'production' ? undefined : generatedSecret(DATA_DIR, 'capability-key'));
  if (secret === undefined) return undefined;
  const active = { kid: CAP_KEY_ACTIVE_ID, key: Buffer.from(secret, 'base64') };
  const next = CAP_KEY_NEXT === undefined ? undefined : { kid: CAP_KEY_NEXT_ID, key: Buffer.from(CAP_KEY_NEXT, 'base64') };
  const all = next ? [active, next] : [active];
  return { active, next, accepted: new Map(all.map(({ kid, key }) => [kid, key])) };
}
