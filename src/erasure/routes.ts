import { route } from '../auth/index.ts';
import type { Tenant } from '../db/tenant.ts';
import { Problem } from '../http/problem.ts';
import { newId } from '../id.ts';
import { accepted, type Handler, type Jobs, started } from '../jobs/index.ts';
import type { Seal } from '../seal.ts';
import { openLedger } from './ledger.ts';
import { nameOf, type RunNeeds, runErasure } from './run.ts';
import { type Counts, erasureBody, preview, type Subject, subjectOf } from './schemas.ts';
import { isLastOwner, previewErasure, readAccounts } from './sql.ts';

export interface ErasureNeeds extends Omit<RunNeeds, 'seal' | 'ledger'> {
  /** Undefined: there is no key, and nothing can be erased that could be proved. */
  seal: Seal | undefined;
  ledger: string;
}

/** What runs jobs of kind `erasure`. */
export const eraser =
  (needs: ErasureNeeds): Handler =>
  (job) =>
    runErasure({ ...needs, seal: keyed(needs.seal), ledger: openLedger(needs.ledger) }, job);

type CountAudit = (tenant: Tenant, names: string[]) => Promise<number>;

export const erasureRoutes = (jobs: Jobs, seal: Seal | undefined, countAudit: CountAudit) => [
  route({
    method: 'POST',
    path: '/v1/erasures',
    operation: 'erase',
    audit: ['erasure.begun', 'erasure.previewed'],
    summary: 'Erase a user, session, project or agent from everything that is kept',
    tag: 'Erasure',
    access: 'admin',
    limit: 'v1',
    idempotent: true,
    body: erasureBody,
    success: { status: 202, description: 'Queued; the job’s result is the certificate', schema: started },
    also: [{ status: 200, description: 'with `dry_run`: what would go', schema: preview }],
    problems: ['validation', 'forbidden', 'conflict', 'unavailable'],
    handle: async ({ caller: { tenant, principal }, body, idempotency }) => {
      const subject = subjectOf(body);
      const name = nameOf(keyed(seal), tenant.id, subject);
      const audit = { kind: subject.kind, subject_hash: name };
      if (body.dry_run) {
        const counts = await foreseen(tenant, subject, countAudit);
        return { status: 200, body: { ...audit, counts }, audit, action: 'erasure.previewed' };
      }
      // asked again by the job, which would fail
      if (subject.kind === 'user_id' && (await isLastOwner(tenant, subject.id)))
        throw new Problem('conflict', 'This is the last owner; make another one first.');
      const input = { kind: subject.kind, subject: subject.id, name };
      const { job_id, replay } = await jobs.start(tenant, 'erasure', input, principal.id, idempotency);
      return { ...accepted(job_id, replay), audit };
    },
  }),
];

/** What the certificate would count. */
async function foreseen(tenant: Tenant, subject: Subject, countAudit: CountAudit): Promise<Counts> {
  const counts = await previewErasure(tenant, newId('job'), subject);
  const { kind, id } = subject;
  if (kind !== 'user_id' && kind !== 'agent_id') return counts;
  const names = kind === 'user_id' ? [id, ...(await readAccounts(tenant, id))] : [id];
  return { ...counts, audit_entries: await countAudit(tenant, names) };
}

function keyed(seal: Seal | undefined): Seal {
  if (seal) return seal;
  throw new Problem('unavailable', 'Erasures need a key: the operator sets ENCRYPTION_KEY.', {
    headers: { 'Retry-After': '60' },
  });
}
