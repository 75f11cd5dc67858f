import type { Tenant } from '../db/tenant.ts';
import { isReadable, type MemoryDetails, type SearchScope } from '../search/index.ts';
import type { ToolPair } from './tool_calls.ts';

/** One event that a context may hold without its being found. */
export interface ContextEvent {
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
  lexemes: string[] | null;
  /** The memory whose content it holds. */
  memory: MemoryDetails | null;
}

export interface ContextEvents {
  as_of_seq: number;
  /** A rebuild runs: not every passage can be found. */
  partial_index: boolean;
  events: ContextEvent[];
  /** Calls and results among these events and those that were asked for, each with the call that it belongs to. */
  pairs: ToolPair[];
}

/** What a context asks for beside what it may see. */
export interface EventsRequest {
  session_id: string;
  agent_id?: string;
  project_id?: string;
  /** Whose preferences apply; null: nobody is named. */
  users: string[] | null;
  /** Decisions that a search found, by seq; the newest come unasked. */
  decision_seqs?: number[];
  /** Calls and results that a search found, by seq. */
  tool_seqs?: number[];
  /** What a handoff cites, by id, and hashes of the decisions that it names by their text. */
  cited_ids?: string[];
  cited_hashes?: string[];
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

type Row = ContextEvent | { part: 'log'; as_of_seq: number; partial_index: boolean; content: { pairs: ToolPair[] } };

const EVENT_SHAPE = { objects: ['content'] };

/** One round trip; without events that cannot be read. */
export async function readContextEvents(tenant: Tenant, scope: SearchScope, ask: EventsRequest): Promise<ContextEvents> {
  const rows = await tenant.call<Row>('select * from read_context_events($1, $2, $3)', [tenant.id, scope, ask]);
  const log = rows.find((row) => row.part === 'log') as Extract<Row, { part: 'log' }>;
  const events = rows
    .filter((row): row is ContextEvent => row.part !== 'log' && isReadable(tenant, row, EVENT_SHAPE))
    .sort((a, b) => b.seq - a.seq);
  return { as_of_seq: log.as_of_seq, partial_index: log.partial_index, events, pairs: log.content.pairs };
}

export async function readHandoff(tenant: Tenant, scope: SearchScope, ask: EventsRequest): Promise<Handoff | undefined> {
  const [row] = await tenant.call<Handoff>('select * from find_handoff($1, $2, $3)', [tenant.id, scope, ask]);
  return row && isReadable(tenant, row, EVENT_SHAPE) ? row : undefined;
}
