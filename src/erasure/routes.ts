import { route } from '../auth/index.ts';
import { Problem } from '../http/problem.ts';
import { acceptedReply, type Handler, type Jobs, startAndWait, startedJob } from '../jobs/index.ts';
import type { Seal } from '../seal.ts';
import { openLedger } from './ledger.ts';
import { type Preview, type PreviewNeeds, runPreview } from './preview.ts';
import { pseudonymOf, type RunNeeds, runErasure } from './run.ts';
import { erasureBody, preview as previewed, subjectOf } from './schemas.ts';
import { isLastOwner } from './sql.ts';

interface ErasureNeeds extends Omit<RunNeeds, 'seal' | 'ledger'> {
  /** Undefined if no encryption key is configured: certificates cannot be signed then, so nothing can be erased. */
  seal: Seal | undefined;
  ledger: string;
}

/** Returns the handler of jobs of kind `erasure`. */
export const erasureHandler =
  (needs: ErasureNeeds): Handler =>
  (job) =>
    runErasure({ ...needs, seal: requireSeal(needs.seal), ledger: openLedger(needs.ledger) }, job);

/** Returns whether the job erases the admin who started it, who then loses the admin role before the job ends. */
export const erasesItsCreator = ({ input }: { input: unknown }): boolean => {
  const { name, begun_by } = input as { name?: string; begun_by?: string };
  return name !== undefined && name === begun_by;
};

/** Returns the handler of jobs of kind `erasure_preview`. */
export const previewHandler =
  (needs: PreviewNeeds): Handler =>
  (job) =>
    runPreview(needs, job);

export const erasureRoutes = (jobs: Jobs, seal: Seal | undefined) => [
  route({
    method: 'POST',
    path: '/v1/erasures',
    operation: 'erase',
    audit: ['erasure.begun', 'erasure.previewed'],
    summary: 'Erase a user, session, project or agent',
    description: 'Starts a job that removes all data about the subject from the tenant. Its result is a certificate.',
    tag: 'Erasure',
    access: 'admin',
    limit: 'v1',
    idempotent: true,
    body: erasureBody,
    success: { status: 202, description: 'The job was queued. Its result is the certificate', schema: startedJob },
    otherAnswers: [
      {
        status: 200,
        description:
          'With `dry_run`, the counts of what would be erased. If counting takes longer, the response is 202 and the counts become the result of the job',
        schema: previewed,
      },
    ],
    problems: ['validation', 'forbidden', 'conflict', 'unavailable'],
    handle: async ({ caller: { tenant, principal }, body, idempotency }) => {
      const subject = subjectOf(body);
      const name = pseudonymOf(requireSeal(seal), tenant.id, subject);
      const option = body.keep_shared && { keep_shared: true };
      const audit = { kind: subject.kind, subject_hash: name, ...option };
      // checked again by the job, which would fail
      if (subject.kind === 'user_id' && (await isLastOwner(tenant, subject.id)))
        throw new Problem('conflict', 'The user is the last owner; make another user an owner first.');
      const input = { kind: subject.kind, subject: subject.id, name, ...option };
      if (body.dry_run) {
        const { job_id, result } = await startAndWait<Preview>(
          jobs,
          tenant,
          'erasure_preview',
          { ...input, dry_run: true },
          principal.id,
        );
        const metadata = { audit, action: 'erasure.previewed' as const };
        return result ? { status: 200, body: result, ...metadata } : { ...acceptedReply(job_id, false), ...metadata };
      }
      const begun_by = pseudonymOf(requireSeal(seal), tenant.id, { kind: 'user_id', id: principal.subject });
      const { job_id, replay } = await jobs.start(tenant, 'erasure', { ...input, begun_by }, principal.id, idempotency);
      return { ...acceptedReply(job_id, replay), audit };
    },
  }),
];

function requireSeal(seal: Seal | undefined): Seal {
  if (seal) return seal;
  throw new Problem('unavailable', 'Erasures require an encryption key: the operator must set ENCRYPTION_KEY.', {
    headers: { 'Retry-After': '60' },
  });
}
