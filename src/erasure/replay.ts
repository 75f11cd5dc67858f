import type { Tenant, Tenants } from '../db/tenant.ts';
import type { Jobs } from '../jobs/index.ts';
import type { Seal } from '../seal.ts';
import type { LedgerEntry } from './ledger.ts';
import { PURPOSE, pseudonymOf } from './run.ts';

export interface ReplayNeeds {
  tenants: Tenants;
  jobs: Jobs;
  seal: Seal;
  /** Deletes the tenant and all of its data. */
  remove(tenant: Tenant): Promise<void>;
}

/** The job of the repeated erasure, for which the caller waits, or the outcome if no job was needed. */
export type ReplayOutcome = { job_id: string } | { outcome: string };

/** Repeats an erasure of the ledger, if the tenant is still the same: another one may have taken its name. */
export async function replayErasures({ tenants, jobs, seal, remove }: ReplayNeeds, entry: LedgerEntry): Promise<ReplayOutcome> {
  const { at, tenant_id, job_id, kind, upto_seq, keep_shared, subject } = entry;
  const tenant = tenants(tenant_id);
  const current = await findTenant(tenant, at);
  if (!current) return { outcome: 'no such tenant' };
  if (!current.is_same) return { outcome: 'skipped: the tenant of this name was registered later' };
  const id = seal.open(subject, PURPOSE, `${tenant_id}/${job_id}`).toString();
  if (kind === 'tenant') {
    if (id !== tenant_id) throw new Error('the entry names another tenant');
    // a crash before `completed`: the client that requested the deletion got no answer
    if (entry.state !== 'completed' && current.state !== 'deleting')
      throw new Error('it is unknown whether the tenant was deleted; delete it, or ask its owner');
    await remove(tenant);
    return { outcome: 'the tenant is deleted again' };
  }
  if (current.state === 'deleting') return { outcome: 'skipped: the tenant is being deleted' };
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

/** Returns the state of a tenant, and whether it existed at a time: another one may have taken its name since. */
export const findTenant = (tenant: Tenant, at: string): Promise<{ state: string; is_same: boolean } | undefined> =>
  tenant.read((db) =>
    db.row('select state, created_at <= $2::timestamptz as is_same from tenants where tenant_id = $1', [tenant.id, at]),
  );
