import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, linkSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

// Secrets that a service outside production generates for itself, each in a file under DATA_DIR that only its owner can read.

export type GeneratedSecret = 'jwt-secret' | 'encryption-key' | 'capability-key';

const fileOf = (dataDir: string, name: GeneratedSecret) => join(dataDir, name);

export const isGenerated = (dataDir: string, name: GeneratedSecret): boolean => existsSync(fileOf(dataDir, name));

/**
 * Returns a secret of 32 random bytes in base64, which is created on first use and kept. Callers that create it at the same time get the
 * same secret. Throws if the file holds anything else. Not for production, where secrets are configured.
 */
export function generatedSecret(dataDir: string, name: GeneratedSecret): string {
  const file = fileOf(dataDir, name);
  if (!existsSync(file)) create(dataDir, file);
  const secret = readFileSync(file, 'utf8').trimEnd();
  if (/^[A-Za-z0-9+/]{43}=$/.test(secret)) return secret;
  throw new Error(
    `${file} does not hold a secret. Restore it from a backup. If you remove it, a new secret is generated, and what the old one signed or encrypted becomes useless.`,
  );
}

/** Writes the secret to a temporary file and links it to its name, so that the file is complete when it appears and is never replaced. */
function create(dataDir: string, file: string): void {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const temporary = `${file}.${randomBytes(8).toString('hex')}`;
  try {
    const descriptor = openSync(temporary, 'wx', 0o600);
    try {
      writeSync(descriptor, randomBytes(32).toString('base64'));
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    linkSync(temporary, file);
    syncDirectory(dataDir);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Makes the new name survive a power failure. */
function syncDirectory(dir: string): void {
  const descriptor = openSync(dir, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
