import type { Tenant, Tenants } from '../db/tenant.ts';
import type { Jobs } from '../jobs/index.ts';
import type { Seal } from '../seal.ts';
import type { LedgerEntry } from './ledger.ts';
import { nameOf } from './run.ts';

/** Queues again what a ledger says was erased; each job is waited for by the caller. Undefined: there is no such tenant. */
export async function replayErasures(
  { tenants, jobs, seal }: { tenants: Tenants; jobs: Jobs; seal: Seal },
  { at, tenant_id, job_id, kind, upto_seq, subject }: LedgerEntry,
): Promise<string | undefined> {
  const tenant = tenants(tenant_id);
  if (!(await exists(tenant))) return undefined;
  const id = seal.open(subject, 'erasures', `${tenant_id}/${job_id}`).toString();
  const input = {
    kind,
    subject: id,
    name: nameOf(seal, tenant_id, { kind, id }),
    begun_by: 'operator',
    replay_of: job_id,
    upto_seq,
    before: at,
  };
  return (await jobs.start(tenant, 'erasure', input, 'operator')).job_id;
}

const exists = (tenant: Tenant): Promise<boolean> =>
  tenant.read(async (db) => (await db.row('select from tenants where tenant_id = $1', [tenant.id])) !== undefined);
