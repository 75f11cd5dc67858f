import { createHmac, hkdfSync } from 'node:crypto';
import { type AuditKeys, openKeys } from './audit/index.ts';
import type { Config } from './config.ts';
import { type GeneratedSecret, generatedSecret, isGenerated } from './generated_secrets.ts';
import type { Mac } from './http/idempotency.ts';
import { openSeal, readKey, type Seal } from './seal.ts';

// Derives the key of each purpose from the settings. No key is ever stored in the database.

/** The secret settings that are generated outside production, and the file of each. */
const generated = [
  ['JWT_SECRET', 'jwt-secret'],
  ['ENCRYPTION_KEY', 'encryption-key'],
  ['CAP_KEY_ACTIVE', 'capability-key'],
] as const satisfies [keyof Config, GeneratedSecret][];

/** Generates the secrets that are neither configured nor generated yet. Returns the names of their settings; in production, none. */
export function generateMissing(config: Config): string[] {
  if (config.NODE_ENV === 'production') return [];
  const missing = generated.filter(([name, file]) => config[name] === undefined && !isGenerated(config.DATA_DIR, file));
  for (const [, file] of missing) generatedSecret(config.DATA_DIR, file);
  return missing.map(([name]) => name);
}

/** The secret that signs access tokens. */
export const jwtSecretOf = ({ JWT_SECRET, DATA_DIR }: Config): string => JWT_SECRET ?? generatedSecret(DATA_DIR, 'jwt-secret');

/** Returns undefined in production if no key is configured; then nothing can be stored encrypted. */
export function sealOf(config: Config): Seal | undefined {
  const keys = sealKeysOf(config);
  return keys && openSeal(keys.key, keys.previous);
}

function sealKeysOf({ NODE_ENV, DATA_DIR, ENCRYPTION_KEY, ENCRYPTION_KEY_PREVIOUS }: Config): SealKeys | undefined {
  const key = ENCRYPTION_KEY ?? (NODE_ENV === 'production' ? undefined : generatedSecret(DATA_DIR, 'encryption-key'));
  if (key === undefined) return undefined;
  return { key: readKey(key)!, previous: ENCRYPTION_KEY_PREVIOUS === undefined ? [] : [readKey(ENCRYPTION_KEY_PREVIOUS)!] };
}

interface SealKeys {
  key: Buffer;
  previous: Buffer[];
}

/** The keys with which a worker thread encrypts and hashes. */
export interface WorkerKeys {
  mac: Uint8Array;
  seal: { key: Uint8Array; previous: Uint8Array[] } | undefined;
}

export const workerKeysOf = (config: Config): WorkerKeys => ({ mac: macKeyOf(config), seal: sealKeysOf(config) });

export function readWorkerKeys({ mac, seal }: WorkerKeys): { mac: Mac; seal: Seal | undefined } {
  return {
    mac: macWith(mac),
    seal:
      seal &&
      openSeal(
        Buffer.from(seal.key),
        seal.previous.map((key) => Buffer.from(key)),
      ),
  };
}

/** Returns the MAC that identifies request bodies. All daemons must derive the same key: a retry hashed with another one gets 409. */
export const macOf = (config: Config): Mac => macWith(macKeyOf(config));

const macKeyOf = (config: Config): Buffer =>
  Buffer.from(hkdfSync('sha256', config.ENCRYPTION_KEY ?? jwtSecretOf(config), '', 'agent-memory idempotency', 32));
const macWith =
  (key: Uint8Array): Mac =>
  (data) =>
    createHmac('sha256', key).update(data).digest('hex');

/** Returns the key of the audit's hash chain, with all keys that older entries may have been chained with. */
export function auditKeysOf(config: Config): AuditKeys {
  const { AUDIT_KEY, ENCRYPTION_KEY, JWT_SECRET, ENCRYPTION_KEY_PREVIOUS, JWT_SECRET_PREVIOUS } = config;
  const configured = [AUDIT_KEY, ENCRYPTION_KEY, JWT_SECRET].filter((secret) => secret !== undefined);
  const own = configured.length > 0 ? configured : [generatedSecret(config.DATA_DIR, 'encryption-key')];
  const older = [ENCRYPTION_KEY_PREVIOUS, JWT_SECRET_PREVIOUS].filter((secret) => secret !== undefined);
  return openKeys([...own, ...older, ...config.AUDIT_KEY_PREVIOUS]);
}
