import { hash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Tenant } from '../db/tenant.ts';
import { serviceEventOf } from '../db/unit.ts';
import { canonicalJson } from '../http/json.ts';
import { toProblem } from '../http/problem.ts';
import { newId } from '../id.ts';
import { type Job, JobStopped } from '../jobs/index.ts';
import type { Seal } from '../seal.ts';
import type { Ledger, LedgerEntry } from './ledger.ts';
import { renameKept } from './rename.ts';
import type { Certificate, ErasureInput, Subject } from './schemas.ts';
import {
  appendCompletion,
  beginErasure,
  type Cursor,
  dropMarks,
  eraseStep,
  listShared,
  readCursor,
  readMarkedAccounts,
} from './sql.ts';
import { adaptiveStepLimit } from './step_limit.ts';

// An erasure runs in steps. Each is a short transaction that also saves the progress. Between two steps the tenant's writers can lock the
// clock.

export const PURPOSE = 'erasures';
const PAUSE_MS = 25;
const MEMORIES_PER_STEP = 50;
const newEventIds = (limit: number) => Array.from({ length: Math.min(limit, MEMORIES_PER_STEP) }, () => newId('evt'));

/** A subject and the ids of its accounts. */
export interface SubjectAccounts extends Subject {
  accounts: string[];
}

export interface RunNeeds {
  seal: Seal;
  ledger: Ledger;
  /** Drops the cached states of the tenant's credentials. */
  invalidate(tenant_id: string): void;
  /** Blanks the audit entries that name the subject and returns their number. Repeatable. */
  eraseAudit?(tenant: Tenant, subjectAccounts: SubjectAccounts, by: { job_id: string; begun_by: string }): Promise<number>;
  /** Called if the erasure is complete but could not be recorded in the ledger. */
  warn?(fault: Record<string, unknown>, message: string): void;
}

/** Returns the pseudonym that replaces the names of a subject: the same within a tenant, and not derivable without the key. */
export const pseudonymOf = (seal: Seal, tenant_id: string, { kind, id }: Subject): string =>
  `erased_${seal.mac(JSON.stringify([tenant_id, kind, id]), PURPOSE).slice(0, 32)}`;

export async function runErasure(needs: RunNeeds, job: Job<ErasureInput, Cursor>) {
  let cursor = job.cursor;
  try {
    cursor ??= await begin(needs, job);
    cursor = await runSteps(needs, job, cursor);
  } catch (error) {
    if (!(error instanceof JobStopped) && toProblem(error).status !== 503) await recordRefusal(needs, job);
    throw error;
  }
  return complete(needs, job, cursor);
}

/** Runs all steps. */
async function runSteps(needs: RunNeeds, job: Job<ErasureInput, Cursor>, from: Cursor): Promise<Cursor> {
  let cursor = from;
  const step = adaptiveStepLimit();
  while (cursor.phase !== 'over') {
    if (job.stopped()) throw new JobStopped();
    // before retained memories get a new version, which copies their events
    if (cursor.phase === 'forget' && cursor.after === '' && job.input.keep_shared) cursor = await renameKept(job, cursor);
    const at = cursor;
    const next = await step((limit) => eraseStep(job, at, limit, newEventIds(limit)));
    if (!next) throw new JobStopped();
    if (at.phase === 'accounts') needs.invalidate(job.tenant.id);
    cursor = next;
    await sleep(PAUSE_MS);
  }
  return cursor;
}

async function begin({ seal, ledger }: RunNeeds, job: Job<ErasureInput, Cursor>): Promise<Cursor> {
  const { upto, at } = await beginErasure(job);
  if (job.input.replay_of === undefined) ledger.append(ledgerEntry(seal, job, 'started', upto, at));
  const cursor = { phase: 'accounts', after: '', upto, found: 0, counts: {}, started_at: at };
  await job.report(0, undefined, cursor);
  return cursor;
}

const ledgerEntry = (
  seal: Seal,
  { id, tenant, input }: Job<ErasureInput>,
  state: LedgerEntry['state'],
  upto_seq: number,
  at: string,
) => ({
  at,
  state,
  job_id: id,
  tenant_id: tenant.id,
  kind: input.kind,
  upto_seq,
  ...(input.keep_shared && { keep_shared: true }),
  subject: seal.seal(input.subject, PURPOSE, `${tenant.id}/${id}`),
});

/** Issues the certificate. Repeatable: the time and the event id are saved, so that a repetition issues the same certificate. */
async function complete({ seal, ledger, eraseAudit, warn }: RunNeeds, job: Job<ErasureInput, Cursor>, cursor: Cursor) {
  const { kind, subject, name, begun_by, replay_of } = job.input;
  if (cursor.finished_at === undefined && eraseAudit && (kind === 'user_id' || kind === 'agent_id')) {
    const subjectAccounts = { kind, id: subject, accounts: await readMarkedAccounts(job.tenant, job.id) };
    cursor.counts.audit_entries = await eraseAudit(job.tenant, subjectAccounts, { job_id: job.id, begun_by });
  }
  const finished_at = cursor.finished_at ?? new Date().toISOString();
  await job.report(undefined, undefined, { ...cursor, finished_at });
  const certificate: Certificate = {
    job_id: job.id,
    tenant_id: job.tenant.id,
    kind,
    subject_hash: name,
    upto_seq: cursor.upto,
    started_at: cursor.started_at,
    finished_at,
    counts: cursor.counts,
    ...(job.input.keep_shared && { kept_shared: await listShared(job.tenant, job.id) }),
  };
  const text = canonicalJson(certificate);
  const signed = { certificate, sha256: hash('sha256', text), hmac: seal.mac(text, PURPOSE), ...(replay_of && { replay_of }) };
  await appendCompletion(job.tenant, job.id, completionEvent(certificate, signed.sha256));
  await dropMarks(job.tenant, job.id);
  if (replay_of === undefined)
    try {
      ledger.append(ledgerEntry(seal, job, 'completed', cursor.upto, finished_at));
    } catch (err) {
      // The erasure is complete, and a replay needs only the `started` entry: the certificate must not be lost because of this.
      warn?.(
        { err, tenant_id: job.tenant.id, job_id: job.id },
        'the completion of an erasure could not be recorded in the ledger',
      );
    }
  return signed;
}

/** Handles a permanent failure. If nothing was erased yet, records a refusal, so that a replay does not erase either. */
async function recordRefusal({ seal, ledger }: RunNeeds, job: Job<ErasureInput, Cursor>): Promise<void> {
  const at = await readCursor(job.tenant, job.id);
  if (at?.phase === 'accounts' && job.input.replay_of === undefined)
    ledger.append(ledgerEntry(seal, job, 'refused', at.upto, new Date().toISOString()));
  await dropMarks(job.tenant, job.id);
}

const completionEvent = ({ job_id, kind, subject_hash, upto_seq, counts }: Certificate, sha256: string) =>
  serviceEventOf({
    event_id: `evt_${job_id.slice(4)}`,
    session_id: job_id,
    channel: 'team',
    actor_type: 'agent',
    actor_id: 'agent-memory',
    user_id: subject_hash,
    kind: 'erasure.completed',
    content: { kind, subject_hash, upto_seq, counts, certificate: sha256 },
  });
