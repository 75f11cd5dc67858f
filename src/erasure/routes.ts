import { route } from '../auth/index.ts';
import { Problem } from '../http/problem.ts';
import { newId } from '../id.ts';
import { accepted, type Handler, type Jobs, started } from '../jobs/index.ts';
import type { Seal } from '../seal.ts';
import { openLedger } from './ledger.ts';
import { nameOf, type RunNeeds, runErasure } from './run.ts';
import { erasureBody, preview, subjectOf } from './schemas.ts';
import { isLastOwner, previewErasure } from './sql.ts';

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

export const erasureRoutes = (jobs: Jobs, seal: Seal | undefined) => [
  route({
    method: 'POST',
    path: '/v1/erasures',
    operation: 'erase',
    audit: 'erasure.begun',
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
      if (body.dry_run) {
        const counts = await previewErasure(tenant, newId('job'), subject);
        return { status: 200, body: { kind: subject.kind, subject_hash: name, counts } };
      }
      // asked again by the job, which would fail
      if (subject.kind === 'user_id' && (await isLastOwner(tenant, subject.id)))
        throw new Problem('conflict', 'This is the last owner; make another one first.');
      const input = { kind: subject.kind, subject: subject.id, name };
      const { job_id, replay } = await jobs.start(tenant, 'erasure', input, principal.id, idempotency);
      return accepted(job_id, replay);
    },
  }),
];

function keyed(seal: Seal | undefined): Seal {
  if (seal) return seal;
  throw new Problem('unavailable', 'Erasures need a key: the operator sets ENCRYPTION_KEY.', {
    headers: { 'Retry-After': '60' },
  });
}
