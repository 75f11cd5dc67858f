import { createHash, hkdfSync } from 'node:crypto';

// The key of the chain is not stored in the database, so that someone who can change rows there cannot forge the MACs.

export interface AuditKey {
  /** Stored in each entry, so that entries from before a key rotation remain verifiable. Reveals nothing about the key. */
  id: string;
  key: Buffer;
}

export interface AuditKeys {
  active: AuditKey;
  find(id: string): AuditKey | undefined;
}

/** Derives the keys of the chain from secrets. The first secret is the active one. */
export function openKeys(secrets: string[]): AuditKeys {
  const known = secrets.map((secret) => {
    const key = Buffer.from(hkdfSync('sha256', secret, '', 'agent-memory audit', 32));
    return { key, id: createHash('sha256').update(key).digest('hex').slice(0, 8) };
  });
  if (!known[0]) throw new Error('The audit needs a secret: set AUDIT_KEY (`openssl rand -base64 32`).');
  return { active: known[0], find: (id) => known.find((key) => key.id === id) };
}
