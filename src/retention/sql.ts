import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import type { Job } from '../jobs/index.ts';
import type { Policy, PolicyBody, Preview, RunInput, TrimBlocker } from './schemas.ts';

const columns = 'rules, trim, version, updated_at, last_run_at';

/** Returns version 0 without rules if the tenant has no policy. */
export async function readPolicy(db: Db, tenant_id: string): Promise<Policy> {
  const row = await db.row<Policy>(`select ${columns} from retention_policies where tenant_id = $1`, [tenant_id]);
  return row ?? { rules: [], trim: null, version: 0, updated_at: null, last_run_at: null };
}

/** Locks the tenant, so that concurrent writes of the first policy are serialized too. */
export const lockPolicy = async (db: Db, tenant_id: string): Promise<Policy> => {
  await db.run('select from tenants where tenant_id = $1 for no key update', [tenant_id]);
  return readPolicy(db, tenant_id);
};

export const writePolicy = (db: Db, tenant_id: string, { rules, trim }: PolicyBody): Promise<Policy | undefined> =>
  db.row(
    `insert into retention_policies as p (tenant_id, rules, trim) values ($1, $2, $3)
     on conflict (tenant_id) do update set rules = excluded.rules, trim = excluded.trim, version = p.version + 1, updated_at = now()
     returning ${columns}`,
    [tenant_id, JSON.stringify(rules), trim && JSON.stringify(trim)],
  );

async function one<T>(tenant: Tenant, text: string, values: unknown[]): Promise<T> {
  const [row] = await tenant.call<{ value: T }>(text, values);
  return row!.value;
}

/** Number of events of one kind in a page of the events that a run would blank. */
export interface KindCount {
  last_id: string;
  kind: string;
  events: number;
  /** Null if no time in the page is readable. */
  oldest: string | null;
  newest: string | null;
}

export const countMarked = (tenant: Tenant, job_id: string, after: string, limit: number): Promise<KindCount[]> =>
  tenant.call('select last_id, kind, events, oldest, newest from count_marked($1, $2, $3, $4)', [
    tenant.id,
    job_id,
    after,
    limit,
  ]);

type PreviewFigures = Pick<Preview, 'memories' | 'sample' | 'trimmed' | 'carried' | 'oldest_seq' | 'held_by'>;

export const estimateRun = (tenant: Tenant, job_id: string, { trim }: PolicyBody, now: string): Promise<PreviewFigures> =>
  one(tenant, 'select estimate_retention($1, $2, $3, $4) as value', [tenant.id, job_id, trim && JSON.stringify(trim), now]);

/** Returns what prevented the trim from dropping as much as the policy requests. */
export const readTrimBlocker = (tenant: Tenant, { trim }: RunInput, now: string): Promise<TrimBlocker | null> =>
  one(tenant, 'select trim_blocker($1, $2, $3) as value', [tenant.id, trim && JSON.stringify(trim), now]);

export interface Cursor {
  phase: string;
  after: string;
  now: string;
  counts: Record<string, number>;
  first_seq?: number | null;
  last_seq?: number | null;
}

/** Runs one step in a short transaction. Returns null if another daemon has the job. */
export const retainStep = (
  { tenant, id, token, lease_ms, input }: Job<RunInput>,
  cursor: Cursor,
  limit: number,
  event: unknown,
): Promise<Cursor | null> =>
  one(tenant, 'select retain_step($1, $2, $3, $4, $5, $6, $7, $8) as value', [
    tenant.id,
    id,
    token,
    lease_ms,
    limit,
    JSON.stringify(cursor),
    JSON.stringify(input),
    JSON.stringify(event),
  ]);

/** Returns the policy of the tenant if its daily run is due, and marks it as run. */
export const claimDuePolicy = (tenant: Tenant): Promise<PolicyBody | null> =>
  one(tenant, 'select claim_due_retention($1) as value', [tenant.id]);

export const readOldest = (tenant: Tenant): Promise<number> =>
  tenant.read(async (db) => {
    const row = await db.row<{ oldest_seq: number }>('select oldest_seq from tenant_clocks where tenant_id = $1', [tenant.id]);
    return row!.oldest_seq;
  });
