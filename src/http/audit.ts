import type { IncomingMessage } from 'node:http';
import { Problem } from './problem.ts';
import { type Reply, type Route, STREAMED } from './route.ts';

// Writes an audit entry for each request to a route that declares `audit`, and counts rejected requests on all routes. A route without
// the property has no overhead.

/** A request as far as it has been processed. */
export interface AuditContext<C> {
  route: Route<C>;
  req: IncomingMessage;
  request_id: string;
  address: string;
  caller: C | null;
  params: unknown;
  query: unknown;
  body: unknown;
}

export interface AuditRecorder<C> {
  /** Throws if audit entries cannot be written at the moment, so that nothing happens unrecorded. */
  assertWritable(context: AuditContext<C>): void;
  /** Resolves when the entry is stored; rejects with `unavailable` if it is not stored in time. */
  record(context: AuditContext<C>, action: string, status: number, facts: Reply['audit']): Promise<void>;
  /** Returns the action of a read that is audited on every route, such as reading all users' private items; otherwise undefined. */
  readAction(context: AuditContext<C>): string | undefined;
  /** Counts a refused request; entries are written later. `code`: that of the problem, if it has one. */
  countRefusal(context: AuditContext<C>, status: number, code: string | undefined): void;
}

const AUDITED_STATUSES = new Set([401, 403, 429]);

export function auditRefusal<C>(recorder: AuditRecorder<C>, context: AuditContext<C>, status: number, error: unknown): void {
  if (!AUDITED_STATUSES.has(status)) return;
  const code = error instanceof Problem ? error.members.code : undefined;
  recorder.countRefusal(context, status, typeof code === 'string' ? code : undefined);
}

type Work = () => Promise<Reply | typeof STREAMED>;

/** Runs `work` with its audit entries: a read is recorded before it is served, a write after it is done and before it is answered. */
export async function withAudit<C>(recorder: AuditRecorder<C>, context: AuditContext<C>, work: Work) {
  const read = recorder.readAction(context);
  if (read !== undefined) await recorder.record(context, read, context.route.success.status, undefined);
  return context.route.audit ? recordAndRun(recorder, context, work) : work();
}

async function recordAndRun<C>(recorder: AuditRecorder<C>, context: AuditContext<C>, work: Work) {
  const { method, success } = context.route;
  const defaultAction = [context.route.audit].flat()[0] as string;
  if (method === 'GET') {
    await recorder.record(context, defaultAction, success.status, undefined);
    return work();
  }
  recorder.assertWritable(context);
  const reply = await work();
  const { status = success.status, action = defaultAction, audit, body } = reply === STREAMED ? ({} as Reply) : reply;
  const ids = idsOf(body);
  await recorder.record(context, action, status, audit || ids ? { ...ids, ...audit } : undefined);
  return reply;
}

/** Returns the ids in the top level of an answer (`job_id`, `webhook_id`, …): they identify what the request acted on. */
function idsOf(body: unknown): Record<string, string> | undefined {
  if (typeof body !== 'object' || body === null) return undefined;
  const ids = Object.entries(body).filter(
    ([name, value]) => name.endsWith('_id') && /^[a-z]{3}_[0-9a-z]{26}$/.test(String(value)),
  );
  return ids.length > 0 ? Object.fromEntries(ids) : undefined;
}
