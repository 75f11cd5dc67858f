import type { Channel, RateLimit, Role, Scope } from '../auth/index.ts';
import type { Db } from '../db/query.ts';
import type { Sweep } from '../db/sweep.ts';
import type { Tenant } from '../db/tenant.ts';
import type { Capability } from './schemas.ts';

const columns =
  'jti, kid, ns, ops, regions, max_bytes, max_qps, agent, created_by, created_with, created_at, expires_at, revoked_at';
/** Limits of valid capabilities of a tenant, and of those that one user or the user's keys minted. */
const MAX_CAPABILITIES = 10_000;
const MAX_OF_USER = 1_000;
/** Ended capabilities of a user that stay listed, so that minting short ones cannot fill the storage. */
const MAX_ENDED = 1_000;
/** Days for which a capability is listed after its end. */
const LISTED_DAYS = 30;

/** A capability in the database, with the current rights of its minter. */
export interface CapabilityState {
  digest: Buffer;
  created_by: string;
  created_with: string | null;
  role: Role;
  /** Null: all scopes of the role. */
  scopes: Scope[] | null;
  subject: string;
  channels: Channel[] | null;
  agent_id: string | null;
  /** The name of the key that minted it. */
  name: string | null;
  rate_limit: RateLimit | null;
}

export async function readCapabilityState(tenant: Tenant, jti: string): Promise<CapabilityState | undefined> {
  const [state] = await tenant.call<CapabilityState>(
    `select digest, created_by, created_with, role, scopes, subject, channels, agent_id, name, rate_limit
     from capability_state($1, $2)`,
    [tenant.id, jti],
    'capability_state',
  );
  return state;
}

export interface NewCapability extends Pick<Capability, 'jti' | 'kid' | 'ns' | 'ops' | 'created_by' | 'created_with'> {
  digest: Buffer;
  regions: string[] | undefined;
  max_bytes: number | undefined;
  max_qps: number | undefined;
  agent: string | undefined;
  /** Unix time in seconds. */
  exp: number;
}

/** Returns the time at which it expires, or undefined if the tenant or the user has too many. Deletes the user's oldest beyond MAX_ENDED. */
export async function insertCapability(db: Db, tenant_id: string, row: NewCapability): Promise<string | undefined> {
  await db.run(
    `delete from capabilities
     where tenant_id = $1 and jti in (
       select jti from capabilities
       where tenant_id = $1 and created_by = $2 and (revoked_at is not null or expires_at <= now())
       order by least(revoked_at, expires_at) desc, jti
       offset ${MAX_ENDED}
       for update skip locked)`,
    [tenant_id, row.created_by],
  );
  const inserted = await db.row<{ expires_at: string }>(
    `insert into capabilities (
       tenant_id, jti, kid, digest, ns, ops, regions, max_bytes, max_qps, agent, created_by, created_with, expires_at)
     select $1, $2, $3, $4, $5, $6, $7, $8::bigint, $9::int, $10, $11, $12, to_timestamp($13::float8)
     where (
       select count(*)
       from (
         select from capabilities
         where tenant_id = $1 and revoked_at is null and expires_at > now()
         limit ${MAX_CAPABILITIES}) valid
     ) < ${MAX_CAPABILITIES} and (
       select count(*) from capabilities
       where tenant_id = $1 and created_by = $11 and revoked_at is null and expires_at > now()
     ) < ${MAX_OF_USER}
     returning expires_at`,
    [
      tenant_id,
      row.jti,
      row.kid,
      row.digest,
      row.ns,
      row.ops,
      row.regions,
      row.max_bytes,
      row.max_qps,
      row.agent,
      row.created_by,
      row.created_with,
      row.exp,
    ],
  );
  return inserted?.expires_at;
}

/** The capabilities that a principal can list and revoke. If both fields are null, all of the tenant. */
export interface CapabilityFilter {
  created_by: string | null;
  created_with: string | null;
}

const MATCHES_FILTER = '($2::text is null or created_by = $2) and ($3::text is null or created_with = $3)';

export const listCapabilities = (
  db: Db,
  tenant_id: string,
  { created_by, created_with }: CapabilityFilter,
  after: string,
  limit: number,
): Promise<Capability[]> =>
  db.rows(`select ${columns} from capabilities where tenant_id = $1 and ${MATCHES_FILTER} and jti > $4 order by jti limit $5`, [
    tenant_id,
    created_by,
    created_with,
    after,
    limit,
  ]);

/** Revokes a capability. Returns when it was revoked, and false for `changed` if that was before; undefined if there is none. */
export const revokeCapability = (
  db: Db,
  tenant_id: string,
  { created_by, created_with }: CapabilityFilter,
  jti: string,
): Promise<{ revoked_at: string; changed: boolean } | undefined> =>
  db.row(
    `update capabilities set revoked_at = coalesce(revoked_at, now())
     where tenant_id = $1 and ${MATCHES_FILTER} and jti = $4
     returning revoked_at, revoked_at = now() as changed`,
    [tenant_id, created_by, created_with, jti],
  );

export const sweepCapabilities: Sweep = (tenant, limit) =>
  tenant.write((db) =>
    db.run(
      `delete from capabilities
       where tenant_id = $1 and jti in (
         select jti from capabilities
         where tenant_id = $1 and expires_at < now() - interval '1 day' * ${LISTED_DAYS}
         limit $2)`,
      [tenant.id, limit],
    ),
  );
