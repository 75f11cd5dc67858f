import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import type { Idempotency } from '../http/route.ts';
import { newId } from '../id.ts';
import type { JobView, ListQuery } from './schemas.ts';

const columns = 'job_id, kind, state, done, total, result, problem, created_at, updated_at, finished_at';
const MAX_OPEN_JOBS = 20;
const KEPT_DAYS = 30;

interface JobRow {
  job_id: string;
  kind: string;
  state: JobView['state'];
  done: number;
  total: number | null;
  result: Record<string, unknown> | null;
  problem: JobView['problem'] | null;
  created_at: string;
  updated_at: string;
  finished_at: string | null;
}

const toView = ({ done, total, result, problem, finished_at, ...row }: JobRow): JobView => ({
  ...row,
  progress: { done, total },
  ...(result && { result }),
  ...(problem && { problem }),
  ...(finished_at && { finished_at }),
});

/** Queues a job. A retry with the same Idempotency-Key returns the first job. */
export async function startJob(
  tenant: Tenant,
  kind: string,
  input: unknown,
  started_by: string,
  idempotency: Idempotency | null = null,
): Promise<{ job_id: string; replay: boolean }> {
  const values = [
    tenant.id,
    newId('job'),
    kind,
    JSON.stringify(input),
    started_by,
    MAX_OPEN_JOBS,
    idempotency?.key,
    idempotency?.body,
  ];
  const row = await tenant.write((db) =>
    db.row<{ status: string; job_id: string }>('select * from start_job($1, $2, $3, $4, $5, $6, $7, $8)', values),
  );
  return { job_id: row!.job_id, replay: row!.status === 'replay' };
}

/** Reads a job. `by`: only if this principal started it; null: any. */
export async function readJob(db: Db, tenant_id: string, job_id: string, by: string | null): Promise<JobView | undefined> {
  const row = await db.row<JobRow>(
    `select ${columns} from jobs where tenant_id = $1 and job_id = $2 and ($3::text is null or started_by = $3)`,
    [tenant_id, job_id, by],
  );
  return row && toView(row);
}

/** Lists jobs, newest first. */
export async function listJobs(
  db: Db,
  tenant_id: string,
  by: string | null,
  { kind, state, limit }: ListQuery,
  before: string | undefined,
): Promise<JobView[]> {
  const rows = await db.rows<JobRow>(
    `select ${columns}
     from jobs
     where tenant_id = $1 and ($2::text is null or started_by = $2) and ($3::text is null or kind = $3)
       and ($4::text is null or state = $4) and ($5::text is null or job_id < $5)
     order by job_id desc
     limit $6`,
    [tenant_id, by, kind, state, before, limit + 1],
  );
  return rows.map(toView);
}

export interface DueJob {
  tenant_id: string;
  job_id: string;
}

/** Lists due jobs of all tenants, through a definer function. */
export const listDue = (any: Tenant, per_tenant: number, limit: number): Promise<DueJob[]> =>
  any.call('select tenant_id, job_id from list_due_jobs($1, $2)', [per_tenant, limit]);

export interface ClaimedJob {
  kind: string;
  input: unknown;
  cursor: unknown;
  done: number;
  total: number | null;
  token: number;
  tries: number;
  started_by: string;
}

/** After `max_tries` claims without progress, a job fails with this problem. */
export interface ClaimLimit {
  max_tries: number;
  problem: unknown;
}

/** Claims a job. Returns undefined if another daemon was faster, the tenant has enough running jobs, or the job has failed. */
export async function claimJob(
  tenant: Tenant,
  job_id: string,
  per_tenant: number,
  lease_ms: number,
  { max_tries, problem }: ClaimLimit,
): Promise<ClaimedJob | undefined> {
  const values = [tenant.id, job_id, per_tenant, lease_ms, max_tries, JSON.stringify(problem)];
  const [row] = await tenant.call<ClaimedJob>('select * from take_job($1, $2, $3, $4, $5, $6)', values);
  return row;
}

const callHeld = async (tenant: Tenant, text: string, values: unknown[]): Promise<boolean> => {
  const [row] = await tenant.call<{ held: boolean }>(text, [tenant.id, ...values]);
  return row!.held;
};

interface Report {
  done?: number | undefined;
  total?: number | undefined;
  cursor?: unknown;
}

/** Each of these returns false if the lease was lost. */
export const reportJob = (tenant: Tenant, job_id: string, token: number, { done, total, cursor }: Report, lease_ms: number) =>
  callHeld(tenant, 'select report_job($1, $2, $3, $4, $5, $6, $7) as held', [
    job_id,
    token,
    done,
    total,
    cursor === undefined ? null : JSON.stringify(cursor),
    lease_ms,
  ]);

export const releaseJob = (tenant: Tenant, job_id: string, token: number, after_ms: number) =>
  callHeld(tenant, 'select release_job($1, $2, $3, $4) as held', [job_id, token, after_ms]);

export const finishJob = (tenant: Tenant, job_id: string, token: number, over: { result?: unknown; problem?: unknown }) =>
  callHeld(tenant, 'select finish_job($1, $2, $3, $4, $5) as held', [
    job_id,
    token,
    over.result === undefined ? null : JSON.stringify(over.result),
    over.problem === undefined ? null : JSON.stringify(over.problem),
  ]);

/** Deletes jobs that ended a month ago. */
export const sweepJobs = (tenant: Tenant, limit: number): Promise<number> =>
  tenant.write((db) =>
    db.run(
      `delete from jobs
       where tenant_id = $1 and job_id in (
         select job_id from jobs
         where tenant_id = $1 and finished_at < now() - interval '1 day' * $2::int
         limit $3)`,
      [tenant.id, KEPT_DAYS, limit],
    ),
  );
