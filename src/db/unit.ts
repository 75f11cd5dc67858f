import { newId } from '../id.ts';

// What the group commit writes, and what became of it.

/** One row of the log before it has a seq. `occurred_at`: RFC 3339, absent means the moment of the commit. */
export interface EventRow {
  event_id: string;
  session_id: string;
  channel: string;
  actor_type: string;
  actor_id: string;
  kind: string;
  content: unknown;
  /** Absent: it is about nobody. Required in private channels, where it names the owner. */
  user_id?: string;
  agent_id?: string;
  project_id?: string;
  sensitivity: string;
  tags: string[];
  refs: string[];
  metadata: unknown;
  artifact_id?: string;
  /** Spans that were cut out of it. */
  redactions?: number;
  occurred_at?: string;
  /** Of its passages. */
  chunk_count?: number;
  /** What nouns change with it, in its transaction, each in the form that its `<noun>_apply` reads. */
  effects?: Record<string, unknown>;
}

/** An event that the service itself writes: changes of memories, edits and capsules are recorded in the log. */
export const serviceEventOf = (
  row: Pick<EventRow, 'kind' | 'session_id' | 'channel' | 'actor_type' | 'actor_id' | 'content'> & Partial<EventRow>,
): EventRow => ({ event_id: newId('evt'), sensitivity: 'none', tags: [], refs: [], metadata: {}, ...row });

/** What is written whole or not at all. `key` and `body` are hex SHA-256: who asks for what, and with which canonical body. */
export interface Unit {
  key: string | null;
  body: string | null;
  /** What the unit adds to the tenant's stored bytes. */
  bytes: number;
  events: EventRow[];
  /** Where a worker wrote the unit: a list of it alone, as PostgreSQL takes jsonb in binary. `events` is empty then. */
  encoded?: Buffer;
}

/** A unit of these events. `retry`: the Idempotency-Key it came with. `bytes`: where it adds more than its events, such as passages. */
export const unitOf = (
  retry: { key: string; body: string } | null,
  events: EventRow[],
  bytes = events.reduce((sum, event) => sum + Buffer.byteLength(JSON.stringify(event)), 0),
): Unit => ({ key: retry?.key ?? null, body: retry?.body ?? null, bytes, events });

const JSONB_VERSION = '\u0001';

/** A unit as the queue sends it. */
export const encodeUnit = (unit: Unit): Buffer => Buffer.from(`${JSONB_VERSION}[${JSON.stringify(unit)}]`);

/** Where a unit's events stand: `count` of them from `seq` on. Only `new` wrote anything. */
export interface Outcome {
  status: 'new' | 'replay' | 'conflict' | 'quota' | 'refused';
  seq: number;
  count: number;
  at: string;
  /** What nouns tell of the unit's events: `<noun>/<place>`, from 0 on. Of a replay: what nothing else could tell. */
  made?: Record<string, unknown>;
  /** Why a noun refused it: a code of `problems` by SQLSTATE, and a sentence for the client. */
  refusal?: { code: string; detail: string };
}
