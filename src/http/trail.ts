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
  body: unknown;
}

export interface Trail<C> {
  /** Throws where nothing can be recorded at the moment: then nothing is done. */
  assertOpen(act: Act<C>): void;
  /** Resolves when it is on record; rejects where it is not yet, with an answer that says so. */
  record(act: Act<C>, status: number, facts: Reply['audit']): Promise<void>;
  /** Counts, and returns at once. */
  refused(act: Act<C>, status: number): void;
}

const TOLD = new Set([401, 403, 429]);

export function tellRefusal<C>(trail: Trail<C>, act: Act<C>, status: number): void {
  if (TOLD.has(status)) trail.refused(act, status);
}

type Work = () => Promise<Reply | typeof STREAMED>;

/** A reading is recorded before it is served, an act after it is done and before it is answered. */
export const audited = <C>(trail: Trail<C>, act: Act<C>, work: Work) => (act.route.audit ? told(trail, act, work) : work());

async function told<C>(trail: Trail<C>, act: Act<C>, work: Work) {
  const { method, success } = act.route;
  if (method === 'GET') {
    await trail.record(act, success.status, undefined);
    return work();
  }
  trail.assertOpen(act);
  const reply = await work();
  const { status = success.status, audit: facts } = reply === STREAMED ? {} : reply;
  await trail.record(act, status, facts);
  return reply;
}
