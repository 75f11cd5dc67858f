import type { IncomingMessage } from 'node:http';
import { type Reply, type Route, STREAMED } from './route.ts';

// What the audit is told, mechanically: of each route that declares an `audit` what was done, of every route who was refused. A route
// without the property costs nothing here.

/** A request, as far as it is known. */
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
  /** Throws where nothing can be recorded at the moment: then nothing is done. */
  assertOpen(act: Act<C>): void;
  /** Resolves when it is on record; rejects where it is not yet, with an answer that says so. */
  record(act: Act<C>, action: string, status: number, facts: Reply['audit']): Promise<void>;
  /** The action of a read that is audited on whichever route; undefined: it is not. */
  ofRead(act: Act<C>): string | undefined;
  /** Counts, and returns at once. */
  refused(act: Act<C>, status: number): void;
}

const TOLD = new Set([401, 403, 429]);

export function tellRefusal<C>(trail: Trail<C>, act: Act<C>, status: number): void {
  if (TOLD.has(status)) trail.refused(act, status);
}

type Work = () => Promise<Reply | typeof STREAMED>;

/** A reading is recorded before it is served, an act after it is done and before it is answered. */
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

/** Ids that the service gave (`job_id`, `webhook_id` …): what an answer begins with is what the act was about. */
function idsOf(body: unknown): Record<string, string> | undefined {
  if (typeof body !== 'object' || body === null) return undefined;
  const ids = Object.entries(body).filter(
    ([name, value]) => name.endsWith('_id') && /^[a-z]{3}_[0-9a-z]{26}$/.test(String(value)),
  );
  return ids.length > 0 ? Object.fromEntries(ids) : undefined;
}
