import type { Tenant } from '../db/tenant.ts';
import { isReadable, type MemoryDetails, type SearchScope } from '../search/index.ts';
import type { ToolPair } from './tool_calls.ts';

/** An event that a context may include independently of the search. */
export interface ContextEvent {
  part: 'task' | 'decision' | 'rule' | 'superseded' | 'recent' | 'cited' | 'paired' | 'claim' | 'said';
  seq: number;
  event_id: string;
  kind: string;
  actor_id: string;
  content: Record<string, unknown>;
  artifact_id: string | null;
  /** True if the event is no longer current. */
  superseded: boolean;
  occurred_at: string;
  lexemes: string[] | null;
  /** The memory whose content the event has. */
  memory: MemoryDetails | null;
}

export interface ContextEvents {
  as_of_seq: number;
  /** True while a rebuild runs: some passages cannot be found. */
  partial_index: boolean;
  events: ContextEvent[];
  /** The calls and results among these events and the requested ones, each with the call that it belongs to. */
  pairs: ToolPair[];
}

/** Parameters of the reads for a context, in addition to the scope. */
export interface EventsRequest {
  session_id?: string;
  agent_id?: string;
  project_id?: string;
  /** The subjects whose preferences apply; null if the request names none. */
  users: string[] | null;
  /** Seqs of decisions that the search found. The newest decisions are always read. */
  decision_seqs?: number[];
  /** Maximum number of recent events of the session. */
  l1_size?: number;
  /** Seqs of calls and results that the search found. */
  tool_seqs?: number[];
  /** Ids that a handoff cites, and hashes of the decisions that it cites by their text. */
  cited_ids?: string[];
  cited_hashes?: string[];
  /** Earlier events of the session are excluded. */
  handoff_seq?: number;
}

/** The claims of a profile, and the recent passages from which its topics come; newest first. */
export interface ProfileEvents {
  claims: ContextEvent[];
  said: ContextEvent[];
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

/** Reads the events of a context in one round trip. Leaves out events that are not well-formed. */
export async function readContextEvents(tenant: Tenant, scope: SearchScope, request: EventsRequest): Promise<ContextEvents> {
  const rows = await tenant.call<Row>('select * from read_context_events($1, $2, $3)', [tenant.id, scope, request]);
  const log = rows.find((row) => row.part === 'log') as Extract<Row, { part: 'log' }>;
  const events = rows
    .filter((row): row is ContextEvent => row.part !== 'log' && isReadable(tenant, row, EVENT_SHAPE))
    .sort((a, b) => b.seq - a.seq);
  return { as_of_seq: log.as_of_seq, partial_index: log.partial_index, events, pairs: log.content.pairs };
}

/** Reads the claims and at most `passages` recent passages of a profile. */
export async function readProfile(
  tenant: Tenant,
  scope: SearchScope & { as_of_seq: number },
  request: EventsRequest,
  passages: number,
): Promise<ProfileEvents> {
  const rows = await tenant.call<ContextEvent>('select * from read_profile($1, $2, $3)', [
    tenant.id,
    scope,
    { ...request, passages },
  ]);
  const events = rows.filter((row) => isReadable(tenant, row, EVENT_SHAPE)).sort((a, b) => b.seq - a.seq);
  return { claims: events.filter(({ part }) => part === 'claim'), said: events.filter(({ part }) => part === 'said') };
}

export async function readHandoff(tenant: Tenant, scope: SearchScope, request: EventsRequest): Promise<Handoff | undefined> {
  const [row] = await tenant.call<Handoff>('select * from find_handoff($1, $2, $3)', [tenant.id, scope, request]);
  return row && isReadable(tenant, row, EVENT_SHAPE) ? row : undefined;
}
