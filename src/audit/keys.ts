import { createHash, hkdfSync } from 'node:crypto';

// The key of the chain is not in the database: who can change rows there cannot make the macs that go with them.

export interface AuditKey {
  /** Told in each entry, so that older ones are still verified after a change of the key; tells nothing of the key. */
  id: string;
  key: Buffer;
}

export interface AuditKeys {
  active: AuditKey;
  find(id: string): AuditKey | undefined;
}

/** The one in use first. */
export function openKeys(secrets: string[]): AuditKeys {
  const known = secrets.map((secret) => {
    const key = Buffer.from(hkdfSync('sha256', secret, '', 'agent-memory audit', 32));
    return { key, id: createHash('sha256').update(key).digest('hex').slice(0, 8) };
  });
  if (!known[0]) throw new Error('The audit needs a secret: set AUDIT_KEY (`openssl rand -base64 32`).');
  return { active: known[0], find: (id) => known.find((key) => key.id === id) };
}
