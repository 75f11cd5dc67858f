import type { Db } from '../db/query.ts';
import type { Sealed } from '../seal.ts';
import type { Grant } from './grants.ts';
import type { ApiKey } from './schemas.ts';
import type { Secret } from './secrets.ts';

const columns = `key_id, name, role, scopes, user_id, channels, created_by, created_with, created_at, expires_at, revoked_at, used_at, agent_id,
  case when rate_max is not null then jsonb_build_object('max', rate_max, 'window_ms', rate_window_ms) end as rate_limit, signed`;
/** Limit of active keys per tenant, so that creating keys cannot fill the storage. */
const MAX_KEYS = 1000;

/** The keys that a principal can list and revoke. If both fields are null, all keys of the tenant. */
export interface KeyFilter {
  created_by: string | null;
  /** Selects this key and the keys created with it. */
  key_id: string | null;
}

const matchesFilter = `($2::text is null or created_by = $2) and ($3::text is null or key_id = $3 or created_with = $3)`;

export interface NewKey extends Grant {
  name: string;
  created_by: string;
  created_with: string | null;
  /** True if an admin chooses `agent_id`. A key that inherits the agent of such a key is attested, too. */
  agent_attested: boolean;
  /** Null if the key does not sign its requests. */
  sealed_secret: Sealed | null;
}

/** Returns undefined if the tenant has too many keys, or if the key that creates this one has been revoked. */
export async function insertKey(db: Db, tenant_id: string, secret: Secret, key: NewKey): Promise<ApiKey | undefined> {
  if (key.created_with !== null) {
    const parent = await db.row(`select from api_keys where tenant_id = $1 and key_id = $2 and revoked_at is null for share`, [
      tenant_id,
      key.created_with,
    ]);
    if (!parent) return undefined;
  }
  await db.run(
    `delete from api_keys
     where tenant_id = $1 and (revoked_at < now() - interval '30 days' or expires_at < now() - interval '30 days')`,
    [tenant_id],
  );
  return db.row(
    `insert into api_keys (
       tenant_id, key_id, name, secret_hash, role, scopes, user_id, channels, created_by, created_with, expires_at, agent_id, rate_max, rate_window_ms,
       agent_attested, sealed_secret)
     select
       $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::timestamptz, $12, $13::int, $14::int,
       $15::boolean or coalesce(attested_agent($1, $10) = $12, false), $16::jsonb
     where (select count(*) from api_keys where tenant_id = $1 and revoked_at is null) < ${MAX_KEYS}
     returning ${columns}`,
    [
      tenant_id,
      secret.id,
      key.name,
      secret.hash,
      key.role,
      key.scopes,
      key.user_id,
      key.channels,
      key.created_by,
      key.created_with,
      key.expires_at,
      key.agent_id,
      key.rate_limit?.max,
      key.rate_limit?.window_ms,
      key.agent_attested,
      key.sealed_secret && JSON.stringify(key.sealed_secret),
    ],
  );
}

export const listKeys = (db: Db, tenant_id: string, filter: KeyFilter, after: string, limit: number): Promise<ApiKey[]> =>
  db.rows(`select ${columns} from api_keys where tenant_id = $1 and ${matchesFilter} and key_id > $4 order by key_id limit $5`, [
    tenant_id,
    filter.created_by,
    filter.key_id,
    after,
    limit,
  ]);

export const lockKey = (db: Db, tenant_id: string, filter: KeyFilter, key_id: string): Promise<ApiKey | undefined> =>
  db.row(`select ${columns} from api_keys where tenant_id = $1 and ${matchesFilter} and key_id = $4 for update`, [
    tenant_id,
    filter.created_by,
    filter.key_id,
    key_id,
  ]);

/** Revokes a key and, recursively, all keys created with it: delegated authority ends with its source. */
export const revokeKey = (db: Db, tenant_id: string, key_id: string): Promise<number> =>
  db.run(
    `with recursive doomed as (
       select key_id from api_keys where tenant_id = $1 and key_id = $2
       union
       select k.key_id from api_keys k join doomed on k.tenant_id = $1 and k.created_with = doomed.key_id
     )
     update api_keys set revoked_at = now()
     where tenant_id = $1 and key_id in (select key_id from doomed) and revoked_at is null`,
    [tenant_id, key_id],
  );
