import type { Tenant } from '../db/tenant.ts';
import { isReadable, type MemoryDetails, type Scope } from '../search/index.ts';
import type { Pair } from './calls.ts';

/** One event that a context may hold without its being found. */
export interface LedgerEvent {
  part: 'task' | 'decision' | 'rule' | 'superseded' | 'recent' | 'cited' | 'paired';
  seq: number;
  event_id: string;
  kind: string;
  actor_id: string;
  content: Record<string, unknown>;
  artifact_id: string | null;
  /** What it says is not held any more. */
  superseded: boolean;
  occurred_at: string;
  words: string[] | null;
  /** The memory whose content it holds. */
  memory: MemoryDetails | null;
}

export interface Ledger {
  as_of_seq: number;
  /** A rebuild runs: not every passage can be found. */
  partial_index: boolean;
  events: LedgerEvent[];
  /** Calls and results among these events and those that were asked for, each with the call that it belongs to. */
  pairs: Pair[];
}

/** What a context asks for beside what it may see. */
export interface Ask {
  session_id: string;
  agent_id?: string;
  project_id?: string;
  /** Whose preferences apply; null: nobody is named. */
  users: string[] | null;
  /** Decisions that a search found, by seq; the newest come unasked. */
  decisions?: number[];
  /** Calls and results that a search found, by seq. */
  tools?: number[];
  /** What a handoff cites, by id, and hashes of the decisions that it names by their text. */
  named?: string[];
  hashes?: string[];
  /** Of the session nothing before this is told again. */
  handoff_seq?: number;
}

export interface Handoff {
  seq: number;
  event_id: string;
  session_id: string;
  content: Record<string, unknown>;
  occurred_at: string;
  memory: MemoryDetails;
}

type Row = LedgerEvent | { part: 'clock'; as_of_seq: number; partial_index: boolean; content: { pairs: Pair[] } };

const EVENT = { objects: ['content'] };

/** One round trip; without events that cannot be read. */
export async function readLedger(tenant: Tenant, scope: Scope, ask: Ask): Promise<Ledger> {
  const rows = await tenant.call<Row>('select * from read_ledger($1, $2, $3)', [tenant.id, scope, ask]);
  const clock = rows.find((row) => row.part === 'clock') as Extract<Row, { part: 'clock' }>;
  const events = rows
    .filter((row): row is LedgerEvent => row.part !== 'clock' && isReadable(tenant, row, EVENT))
    .sort((a, b) => b.seq - a.seq);
  return { as_of_seq: clock.as_of_seq, partial_index: clock.partial_index, events, pairs: clock.content.pairs };
}

export async function readHandoff(tenant: Tenant, scope: Scope, ask: Ask): Promise<Handoff | undefined> {
  const [row] = await tenant.call<Handoff>('select * from read_handoff($1, $2, $3)', [tenant.id, scope, ask]);
  return row && isReadable(tenant, row, EVENT) ? row : undefined;
}
