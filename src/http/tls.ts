import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { type Config, ConfigError } from '../config.ts';

// TLS between a proxy and the daemon: docs/tls.md.

export interface Tls {
  cert: Buffer;
  key: Buffer;
  /** Authority that client certificates must be signed by; absent if clients need no certificate. */
  ca?: Buffer;
}

/** Reads the files that the settings name; undefined if the daemon serves plain HTTP. */
export function tlsOf({ TLS_CERT_FILE, TLS_KEY_FILE, TLS_CLIENT_CA_FILE }: Config): Tls | undefined {
  if (TLS_CERT_FILE === undefined && TLS_KEY_FILE === undefined && TLS_CLIENT_CA_FILE === undefined) return undefined;
  const tls = { cert: fileOf('TLS_CERT_FILE', TLS_CERT_FILE), key: fileOf('TLS_KEY_FILE', TLS_KEY_FILE) };
  const whole = TLS_CLIENT_CA_FILE === undefined ? tls : { ...tls, ca: fileOf('TLS_CLIENT_CA_FILE', TLS_CLIENT_CA_FILE) };
  try {
    createSecureContext(whole);
  } catch (error) {
    throw new ConfigError([
      `TLS_CERT_FILE, TLS_KEY_FILE, TLS_CLIENT_CA_FILE: expected certificates in PEM and the key of the first (${(error as Error).message})`,
    ]);
  }
  return whole;
}

function fileOf(name: string, file: string | undefined): Buffer {
  if (file === undefined) throw new ConfigError([`${name}: got nothing, expected a file: TLS needs a certificate and its key`]);
  try {
    return readFileSync(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError([`${name}: got ${JSON.stringify(file)}, expected a readable file (${code})`]);
  }
}
