import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import type { TenantPatch, TenantView, Usage } from './schemas.ts';

const columns = `t.tenant_id, t.state, t.language::text as language, t.settings,
  json_build_object('max_bytes', c.max_bytes) as quotas, t.version, t.created_at`;

export const readTenant = (db: Db, tenant_id: string): Promise<TenantView | undefined> =>
  db.row(
    `select ${columns}
     from tenants t join tenant_clocks c on c.tenant_id = t.tenant_id
     where t.tenant_id = $1`,
    [tenant_id],
  );

export async function lockVersion(db: Db, tenant_id: string): Promise<number | undefined> {
  // `no key update` does not block foreign-key checks of concurrent writers, who hold the clock row that a change of settings may need next
  const row = await db.row<{ version: number }>('select version from tenants where tenant_id = $1 for no key update', [
    tenant_id,
  ]);
  return row?.version;
}

export async function isLanguage(db: Db, name: string): Promise<boolean> {
  const found = await db.row(
    `select 1 from pg_catalog.pg_ts_config where cfgname = $1 and cfgnamespace = 'pg_catalog'::regnamespace`,
    [name],
  );
  return found !== undefined;
}

export const updateTenant = (db: Db, tenant_id: string, patch: TenantPatch): Promise<number> =>
  db.run(
    `update tenants set
       language = coalesce(('pg_catalog.' || $2::text)::regconfig, language),
       settings = jsonb_strip_nulls(
         settings || $3::jsonb
         || case when jsonb_typeof($3::jsonb -> 'secrets') = 'object'
            then jsonb_build_object('secrets', coalesce(settings -> 'secrets', '{}') || ($3::jsonb -> 'secrets')) else '{}' end),
       version = version + 1
     where tenant_id = $1`,
    [tenant_id, patch.language, JSON.stringify(patch.settings ?? {})],
  );

/** Applies a changed `one_doing_per_agent` to the tasks that are in progress. */
export async function assignDoingAgents(db: Db, tenant_id: string): Promise<void> {
  await db.run('select from tenant_clocks where tenant_id = $1 for update', [tenant_id]);
  await db.run('select assign_doing_agents($1)', [tenant_id]);
}

/** Marks the tenant as deleted. Its credentials stop working on every daemon once the cached ones expire. */
export const closeTenant = (db: Db, tenant_id: string): Promise<{ at: string } | undefined> =>
  db.row(
    `update tenants set state = 'deleting', deleting_since = now(), version = version + 1
     where tenant_id = $1 and state <> 'deleting'
     returning date_trunc('milliseconds', clock_timestamp()) + interval '1 millisecond' as at`,
    [tenant_id],
  );

export const setSuspended = (db: Db, tenant_id: string, suspended: boolean): Promise<number> =>
  db.run(`update tenants set state = $2, version = version + 1 where tenant_id = $1 and state <> 'deleting'`, [
    tenant_id,
    suspended ? 'suspended' : 'active',
  ]);

/** Null: unlimited. */
export const setQuota = (db: Db, tenant_id: string, max_bytes: number | null): Promise<number> =>
  db.run('update tenant_clocks set max_bytes = $2 where tenant_id = $1', [tenant_id, max_bytes]);

export const readUsage = (db: Db, tenant_id: string): Promise<Usage | undefined> =>
  db.row(
    `select
       c.tenant_id, c.event_count as events, c.stored_bytes as bytes, c.max_bytes, c.last_seq, c.oldest_seq,
       (select count(*) from users u where u.tenant_id = $1 and u.disabled_at is null) as users,
       (select count(*) from api_keys k
        where k.tenant_id = $1 and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())) as api_keys
     from tenant_clocks c
     where c.tenant_id = $1`,
    [tenant_id],
  );

export type Progress = 'more' | 'empty' | 'gone';

/** Removes one batch of rows. The name becomes available `keep_name_s` after the deletion. */
export async function eraseBatch(tenant: Tenant, ms: number, keep_name_s: number): Promise<Progress> {
  const [row] = await tenant.call<{ progress: Progress }>('select erase_tenant($1, $2, $3) as progress', [
    tenant.id,
    ms,
    keep_name_s,
  ]);
  return row!.progress;
}

/** Lists tenants through a security-definer function that returns only names and states. */
export const listTenants = (any: Tenant, after: string, limit: number): Promise<{ tenant_id: string; state: string }[]> =>
  any.call('select tenant_id, state from list_tenants($1, $2)', [after, limit]);
