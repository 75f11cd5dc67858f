import type { Tenant } from '../db/tenant.ts';
import { type Job, JobStopped } from '../jobs/index.ts';
import type { SubjectAccounts } from './run.ts';
import type { Counts, ErasureInput, KeptShared, PreviewInput } from './schemas.ts';
import { beginErasure, type Cursor, dropMarks, eraseStep, listShared, readAccounts } from './sql.ts';
import { adaptiveStepLimit } from './step_limit.ts';

// A dry run finds and counts what an erasure would remove, in the same short steps. It is a job, because a large subject can take longer
// than a request may.

/** Longer than for an erasure, because a dry run holds no lock that others wait for. */
const LONG_STEP_MS = 400;

export interface PreviewNeeds {
  countAudit?(tenant: Tenant, whom: SubjectAccounts): Promise<number>;
}

export interface Preview {
  kind: ErasureInput['kind'];
  subject_hash: string;
  counts: Counts;
  kept_shared?: KeptShared;
}

export async function runPreview({ countAudit }: PreviewNeeds, job: Job<PreviewInput, Cursor>) {
  const { tenant, input } = job;
  const { kind, subject, name } = input;
  let cursor = job.cursor ?? (await begin(job));
  const step = adaptiveStepLimit(LONG_STEP_MS);
  while (cursor.phase !== 'over') {
    if (job.stopped()) throw new JobStopped();
    const at = cursor;
    const next = await step((limit) => eraseStep(job, at, limit, []));
    if (!next) throw new JobStopped();
    cursor = next;
  }
  const counts = cursor.counts;
  if (countAudit && (kind === 'user_id' || kind === 'agent_id')) {
    const accounts = kind === 'user_id' ? await readAccounts(tenant, subject) : [];
    counts.audit_entries = await countAudit(tenant, { kind, id: subject, accounts });
  }
  const shared = input.keep_shared && { kept_shared: await listShared(tenant, job.id) };
  await dropMarks(tenant, job.id);
  return { kind, subject_hash: name, counts, ...shared };
}

async function begin(job: Job<PreviewInput, Cursor>): Promise<Cursor> {
  const { upto, at } = await beginErasure(job);
  return { phase: 'find', after: '', upto, found: 0, counts: {}, started_at: at };
}
