import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import type { Entry, Head } from './chain.ts';
import type { AuditQuery } from './schemas.ts';

const columns = 'seq, at, first_at, action, route, status, count, payload, salt, commitment, key_id, mac';

/** A stored entry with the `principal_id` that the database extracts from the payload. */
export interface EntryRow extends Entry {
  principal_id: string | null;
}

export interface AppendResult {
  appended: boolean;
  head: Head;
}

/** Returns undefined if the tenant no longer exists. */
export async function appendAudit(tenant: Tenant, after: Head, entries: Entry[]): Promise<AppendResult | undefined> {
  const rows = entries.map(({ salt, commitment, mac, ...entry }) => ({
    ...entry,
    salt: salt!.toString('hex'),
    commitment: commitment.toString('hex'),
    mac: mac.toString('hex'),
  }));
  const [row] = await tenant.call<{ appended: boolean; last_seq: number; last_mac: Buffer; last_at: string | null }>(
    'select appended, last_seq, last_mac, last_at from append_audit($1, $2, $3, $4)',
    [tenant.id, after.seq, after.mac, JSON.stringify(rows)],
    'append_audit',
  );
  return row && { appended: row.appended, head: { seq: row.last_seq, mac: row.last_mac, at: row.last_at } };
}

export const readHead = (db: Db, tenant_id: string): Promise<Head | undefined> =>
  db.row('select last_seq as seq, last_mac as mac, last_at as at from audit_clocks where tenant_id = $1', [tenant_id]);

/** Reads entries of the chain in order. */
export const readChain = (db: Db, tenant_id: string, after: number, limit: number): Promise<EntryRow[]> =>
  db.rows(`select ${columns}, principal_id from audit_entries where tenant_id = $1 and seq > $2 order by seq limit $3`, [
    tenant_id,
    after,
    limit,
  ]);

const seqBounds = (order: 'asc' | 'desc', from: number | undefined) =>
  order === 'asc' ? [from ?? 0, Number.MAX_SAFE_INTEGER] : [0, from ?? Number.MAX_SAFE_INTEGER];

/** `from`: the seq after which the page starts, in the requested order. */
export function listAudit(
  db: Db,
  tenant_id: string,
  query: AuditQuery,
  from: number | undefined,
  limit: number,
): Promise<EntryRow[]> {
  const { order } = query;
  return db.rows(
    `select ${columns}, principal_id
     from audit_entries
     where tenant_id = $1
       and ($2::text is null or action = $2)
       and ($3::text is null or principal_id = $3)
       and ($4::timestamptz is null or at >= $4)
       and ($5::timestamptz is null or at < $5)
       and seq > $6::bigint and seq < $7::bigint
     order by seq ${order === 'asc' ? 'asc' : 'desc'}
     limit $8`,
    [tenant_id, query.action, query.principal, query.since, query.until, ...seqBounds(order, from), limit],
  );
}

/** Returns which of the tenants exist, in one statement for all that unauthenticated requests have named. */
export async function existingTenants(any: Tenant, tenant_ids: string[]): Promise<Set<string>> {
  const rows = await any.call<{ tenant_id: string }>('select tenant_id from read_clocks($1)', [tenant_ids]);
  return new Set(rows.map(({ tenant_id }) => tenant_id));
}

/** Returns the ids that belong to no account or key. Ids of capabilities (`jti_…`) identify nobody and are left out. */
export async function deletedIds(tenant: Tenant, ids: string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set();
  const rows = await tenant.read((db) =>
    db.rows<{ id: string }>(
      `select a.id
       from unnest($2::text[]) a (id)
       where a.id not like 'jti\\_%'
         and not exists (select from users u where u.tenant_id = $1 and u.user_id = a.id)
         and not exists (select from api_keys k where k.tenant_id = $1 and k.key_id = a.id)`,
      [tenant.id, ids],
    ),
  );
  return new Set(rows.map(({ id }) => id));
}

/** The subject of an erasure. `accounts`: ids of the accounts that are erased with it. */
export interface Subject {
  kind: string;
  id: string;
  accounts: string[];
}

// the entries that record an erasure are kept
const IS_ABOUT_SUBJECT = `e.action not in ('audit.erased', 'erasure.begun') and audit_mentions($1, e.payload, $2, $3, $4::text[])`;

export async function countEntriesAbout(db: Db, tenant_id: string, { kind, id, accounts }: Subject): Promise<number> {
  const row = await db.row<{ n: number }>(
    `select count(*)::int as n from audit_entries e where e.tenant_id = $1 and ${IS_ABOUT_SUBJECT}`,
    [tenant_id, kind, id, accounts],
  );
  return row!.n;
}

/** Returns the seqs of entries whose payload names the subject. */
export async function findEntriesAbout(
  db: Db,
  tenant_id: string,
  { kind, id, accounts }: Subject,
  after: number,
  limit: number,
): Promise<number[]> {
  const rows = await db.rows<{ seq: number }>(
    `select e.seq
     from audit_entries e
     where e.tenant_id = $1 and e.seq > $5 and ${IS_ABOUT_SUBJECT}
     order by e.seq limit $6`,
    [tenant_id, kind, id, accounts, after, limit],
  );
  return rows.map(({ seq }) => seq);
}

export async function blankAudit(tenant: Tenant, seqs: number[]): Promise<number> {
  return tenant.write(async (db) => {
    const row = await db.row<{ blanked: number }>('select blank_audit($1, $2) as blanked', [tenant.id, seqs]);
    return row!.blanked;
  });
}
