import type { IncomingMessage } from 'node:http';
import { type Reply, type Route, STREAMED } from './route.ts';

// Writes an audit entry for each request to a route that declares `audit`, and counts refused requests on all routes. A route without
// the property has no overhead.

/** A request as far as it has been processed. */
export interface Act<C> {
  route: Route<C>;
  req: IncomingMessage;
  request_id: string;
  address: string;
  caller: C | null;
  params: unknown;
  query: unknown;
  body: unknown;
}

export interface Trail<C> {
  /** Throws if audit entries cannot be written at the moment, so that nothing happens unrecorded. */
  assertOpen(act: Act<C>): void;
  /** Resolves when the entry is stored; rejects with `unavailable` if it is not stored in time. */
  record(act: Act<C>, action: string, status: number, facts: Reply['audit']): Promise<void>;
  /** Returns the action of a read that is audited on every route, such as reading all users' private items; otherwise undefined. */
  ofRead(act: Act<C>): string | undefined;
  /** Counts a refused request; entries are written later. */
  refused(act: Act<C>, status: number): void;
}

const TOLD = new Set([401, 403, 429]);

export function tellRefusal<C>(trail: Trail<C>, act: Act<C>, status: number): void {
  if (TOLD.has(status)) trail.refused(act, status);
}

type Work = () => Promise<Reply | typeof STREAMED>;

/** Runs `work` with its audit entries: a read is recorded before it is served, a write after it is done and before it is answered. */
export async function audited<C>(trail: Trail<C>, act: Act<C>, work: Work) {
  const read = trail.ofRead(act);
  if (read !== undefined) await trail.record(act, read, act.route.success.status, undefined);
  return act.route.audit ? told(trail, act, work) : work();
}

async function told<C>(trail: Trail<C>, act: Act<C>, work: Work) {
  const { method, success } = act.route;
  const usual = [act.route.audit].flat()[0] as string;
  if (method === 'GET') {
    await trail.record(act, usual, success.status, undefined);
    return work();
  }
  trail.assertOpen(act);
  const reply = await work();
  const { status = success.status, action = usual, audit, body } = reply === STREAMED ? ({} as Reply) : reply;
  const ids = idsOf(body);
  await trail.record(act, action, status, audit || ids ? { ...ids, ...audit } : undefined);
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
