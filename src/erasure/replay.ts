import type { Tenant, Tenants } from '../db/tenant.ts';
import type { Jobs } from '../jobs/index.ts';
import type { Seal } from '../seal.ts';
import type { LedgerEntry } from './ledger.ts';
import { PURPOSE, pseudonymOf } from './run.ts';

export interface ReplayNeeds {
  tenants: Tenants;
  jobs: Jobs;
  seal: Seal;
  /** Deletes a tenant with all that it holds. */
  remove(tenant: Tenant): Promise<void>;
}

/** The job that erases again, which the caller waits for; or what there is to say instead. */
export type ReplayOutcome = { job_id: string } | { outcome: string };

/** Does again what a ledger says was erased, in the tenant that it was erased in: another may have its name by now. */
export async function replayErasures({ tenants, jobs, seal, remove }: ReplayNeeds, entry: LedgerEntry): Promise<ReplayOutcome> {
  const { at, tenant_id, job_id, kind, upto_seq, keep_shared, subject } = entry;
  const tenant = tenants(tenant_id);
  const found = await findTenant(tenant, at);
  if (!found) return { outcome: 'no such tenant' };
  if (!found.is_same) return { outcome: 'skipped: the tenant of this name was registered later' };
  const id = seal.open(subject, PURPOSE, `${tenant_id}/${job_id}`).toString();
  if (kind === 'tenant') {
    if (id !== tenant_id) throw new Error('it names another tenant');
    // a crash between the two: whoever asked was not answered
    if (entry.state !== 'completed' && found.state !== 'deleting')
      throw new Error('the tenant was about to be deleted, and whether it was is not known: delete it, or ask its owner');
    await remove(tenant);
    return { outcome: 'the tenant is deleted again' };
  }
  if (found.state === 'deleting') return { outcome: 'skipped: the tenant is being deleted' };
  const input = {
    kind,
    subject: id,
    name: pseudonymOf(seal, tenant_id, { kind, id }),
    begun_by: 'operator',
    replay_of: job_id,
    upto_seq,
    ...(keep_shared && { keep_shared }),
    before: at,
  };
  return { job_id: (await jobs.start(tenant, 'erasure', input, 'operator')).job_id };
}

const findTenant = (tenant: Tenant, at: string): Promise<{ state: string; is_same: boolean } | undefined> =>
  tenant.read((db) =>
    db.row('select state, created_at <= $2::timestamptz as is_same from tenants where tenant_id = $1', [tenant.id, at]),
  );
