import { type Caller, route } from '../auth/index.ts';
import { recallKey, rememberKey } from '../db/idempotency.ts';
import type { Tenant } from '../db/tenant.ts';
import { assertVersion, etagOf, type IfMatch, ifMatchOf } from '../http/etag.ts';
import { replayHeaders } from '../http/outcome.ts';
import type { Idempotency } from '../http/route.ts';
import { acceptedReply, type Jobs, startAndWait, startedJob } from '../jobs/index.ts';
import {
  type Policy,
  type PolicyBody,
  type Preview,
  policyBodyOf,
  policyOf,
  preview,
  type RunInput,
  runBody,
} from './schemas.ts';
import { lockPolicy, readPolicy, writePolicy } from './sql.ts';

const tagged = { tag: 'Retention', limit: 'v1', access: 'admin' } as const;

/** `kinds`: all kinds of events and memories. */
export function retentionRoutes(jobs: Jobs, kinds: string[]) {
  const policy = policyOf(kinds);
  const policyBody = policyBodyOf(kinds);
  return [
    route({
      ...tagged,
      method: 'GET',
      path: '/v1/retention',
      operation: 'readRetention',
      summary: 'Get the retention policy',
      success: { status: 200, description: 'The policy. If none is set, it has no rules and version 0', schema: policy },
      problems: ['forbidden'],
      handle: async ({ caller: { tenant } }) => answer(await tenant.read((db) => readPolicy(db, tenant.id))),
    }),
    route({
      ...tagged,
      method: 'PUT',
      path: '/v1/retention',
      operation: 'setRetention',
      audit: 'retention.changed',
      summary: 'Set the retention policy',
      description: 'The service applies the policy once a day.',
      idempotent: true,
      body: policyBody,
      success: { status: 200, description: 'The updated policy', schema: policy },
      problems: ['validation', 'forbidden', 'conflict', 'precondition-failed'],
      handle: async ({ caller, body, req, idempotency }) => {
        const set = await setPolicy(caller, body, ifMatchOf(req), idempotency);
        return { ...set, audit: { version: set.body.version, rules: set.body.rules.length } };
      },
    }),
    route({
      ...tagged,
      method: 'POST',
      path: '/v1/retention/preview',
      operation: 'previewRetention',
      audit: 'retention.previewed',
      summary: 'Preview what a retention policy would remove',
      body: policyBody,
      success: { status: 200, description: 'The numbers of events and memories that a run would remove', schema: preview },
      otherAnswers: [
        { status: 202, description: 'Counting takes longer, and the preview becomes the result of the job', schema: startedJob },
      ],
      problems: ['validation', 'forbidden', 'conflict', 'unavailable'],
      handle: async ({ caller: { tenant, principal }, body }) => {
        const { job_id, result } = await startAndWait<Preview>(jobs, tenant, 'retention_preview', body, principal.id);
        return result ? { status: 200, body: result } : { status: 202, ...acceptedReply(job_id, false) };
      },
    }),
    route({
      ...tagged,
      method: 'POST',
      path: '/v1/retention/runs',
      operation: 'runRetention',
      audit: 'retention.begun',
      summary: 'Apply the retention policy now',
      description: 'Starts a job. With `trim_before_seq` it only trims the log.',
      idempotent: true,
      body: runBody,
      success: { status: 202, description: 'The job was queued', schema: startedJob },
      problems: ['malformed-json', 'validation', 'forbidden', 'conflict'],
      handle: async ({ caller: { tenant, principal }, body: { trim_before_seq: before_seq }, idempotency }) => {
        const input: RunInput = before_seq === undefined ? await readRun(tenant) : { rules: [], trim: { before_seq } };
        const { job_id, replay } = await jobs.start(tenant, 'retention', input, principal.id, idempotency);
        return acceptedReply(job_id, replay);
      },
    }),
  ];
}

const readRun = async (tenant: Tenant): Promise<RunInput> => {
  const { rules, trim } = await tenant.read((db) => readPolicy(db, tenant.id));
  return { rules, trim };
};

const answer = (body: Policy, replay = false) => ({
  body,
  headers: { ETag: etagOf(body), ...replayHeaders(replay) },
});

const setPolicy = ({ tenant }: Caller, body: PolicyBody, match: IfMatch, idempotency: Idempotency | null) =>
  tenant.write(async (db) => {
    const before = await lockPolicy(db, tenant.id);
    if (idempotency && (await recallKey(db, tenant.id, idempotency))) return answer(before, true);
    assertVersion(match, before, 'policy');
    const after = await writePolicy(db, tenant.id, body);
    if (idempotency) await rememberKey(db, tenant.id, idempotency);
    return answer(after!);
  });
