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

// An erasure goes step by step, each one short transaction that also says how far it is; between two steps the tenant’s writers have
// the clock for themselves.

export const PURPOSE = 'erasures';
const PAUSE_MS = 25;
const MEMORIES_A_STEP = 50;
const newEventIds = (limit: number) => Array.from({ length: Math.min(limit, MEMORIES_A_STEP) }, () => newId('evt'));

/** A subject, and the ids of its accounts. */
export interface SubjectAccounts extends Subject {
  accounts: string[];
}

export interface RunNeeds {
  seal: Seal;
  ledger: Ledger;
  /** What is known of the tenant’s credentials is asked for again. */
  invalidate(tenant_id: string): void;
  /** Blanks what the audit has of the subject; repeatable. Says how many entries. */
  eraseAudit?(tenant: Tenant, whom: SubjectAccounts, by: { job_id: string; begun_by: string }): Promise<number>;
  /** Told where an erasure is done that its ledger could not be told of. */
  warn?(fault: Record<string, unknown>, message: string): void;
}

/** What the names of a subject are replaced by: equal within a tenant, and not to be guessed without the key. */
export const pseudonymOf = (seal: Seal, tenant_id: string, { kind, id }: Subject): string =>
  `erased_${seal.mac(JSON.stringify([tenant_id, kind, id]), PURPOSE).slice(0, 32)}`;

export async function runErasure(needs: RunNeeds, job: Job<ErasureInput, Cursor>) {
  let cursor = job.cursor;
  try {
    cursor ??= await begin(needs, job);
    cursor = await walk(needs, job, cursor);
  } catch (error) {
    if (!(error instanceof JobStopped) && toProblem(error).status !== 503) await refuse(needs, job);
    throw error;
  }
  return end(needs, job, cursor);
}

/** To the end, step by step. */
async function walk(needs: RunNeeds, job: Job<ErasureInput, Cursor>, from: Cursor): Promise<Cursor> {
  let cursor = from;
  const step = adaptiveStepLimit();
  while (cursor.phase !== 'over') {
    if (job.stopped()) throw new JobStopped();
    // before memories that stay are stated anew: their events are copied
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
  if (job.input.replay_of === undefined) ledger.append(entry(seal, job, 'started', upto, at));
  const cursor = { phase: 'accounts', after: '', upto, found: 0, counts: {}, started_at: at };
  await job.report(0, undefined, cursor);
  return cursor;
}

const entry = (
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

/** Repeatable: the moment and the id of the event are kept, so that a second end says the same. */
async function end({ seal, ledger, eraseAudit, warn }: RunNeeds, job: Job<ErasureInput, Cursor>, cursor: Cursor) {
  const { kind, subject, name, begun_by, replay_of } = job.input;
  if (cursor.finished_at === undefined && eraseAudit && (kind === 'user_id' || kind === 'agent_id')) {
    const whom = { kind, id: subject, accounts: await readMarkedAccounts(job.tenant, job.id) };
    cursor.counts.audit_entries = await eraseAudit(job.tenant, whom, { job_id: job.id, begun_by });
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
  await appendCompletion(job.tenant, job.id, completed(certificate, signed.sha256));
  await dropMarks(job.tenant, job.id);
  if (replay_of === undefined)
    try {
      ledger.append(entry(seal, job, 'completed', cursor.upto, finished_at));
    } catch (err) {
      // it is done, and a replay goes by what was written before it began: the certificate may not be lost for this
      warn?.({ err, tenant_id: job.tenant.id, job_id: job.id }, 'the ledger could not be told that an erasure is done');
    }
  return signed;
}

/** It has failed for good. Where nothing was done yet, such as to the last owner, a replay may not do it either; half done, it should. */
async function refuse({ seal, ledger }: RunNeeds, job: Job<ErasureInput, Cursor>): Promise<void> {
  const at = await readCursor(job.tenant, job.id);
  if (at?.phase === 'accounts' && job.input.replay_of === undefined)
    ledger.append(entry(seal, job, 'refused', at.upto, new Date().toISOString()));
  await dropMarks(job.tenant, job.id);
}

const completed = ({ job_id, kind, subject_hash, upto_seq, counts }: Certificate, sha256: string) =>
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
