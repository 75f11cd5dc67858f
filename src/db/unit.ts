import { newId } from '../id.ts';

// The units that the group commit writes, and their outcomes.

/** An event before it has a seq. `occurred_at` is RFC 3339; if absent, the time of the commit. */
export interface EventRow {
  event_id: string;
  session_id: string;
  channel: string;
  actor_type: string;
  actor_id: string;
  kind: string;
  content: unknown;
  /** The subject; absent if the event is about nobody. Required in private channels, where it is the owner. */
  user_id?: string;
  agent_id?: string;
  project_id?: string;
  sensitivity: string;
  tags: string[];
  refs: string[];
  metadata: unknown;
  artifact_id?: string;
  /** Number of redacted spans. */
  redactions?: number;
  occurred_at?: string;
  /** Number of its passages. */
  chunk_count?: number;
  /** Effects by noun, applied in the same transaction, in the form that `<noun>_apply` reads. */
  effects?: Record<string, unknown>;
}

/** Returns an event that the service itself writes, such as a change of a memory, an edit or a capsule. */
export const serviceEventOf = (
  row: Pick<EventRow, 'kind' | 'session_id' | 'channel' | 'actor_type' | 'actor_id' | 'content'> & Partial<EventRow>,
): EventRow => ({ event_id: newId('evt'), sensitivity: 'none', tags: [], refs: [], metadata: {}, ...row });

/** Conditions that every write of a request must meet, by noun. */
export type Guards = Record<string, unknown>;

/** The events of one request, written together or not at all. `key` and `body` are the hashes of its Idempotency-Key and body, in hex. */
export interface Unit {
  key: string | null;
  body: string | null;
  /** Conditions of the request, by the noun whose hook `guard` checks them in the transaction of the write. */
  guards?: Guards;
  /** Number of bytes that the unit adds to the storage of the tenant. */
  bytes: number;
  events: EventRow[];
  /** A list with this unit in the binary format of jsonb. Set by a worker, with empty `events`. */
  encoded?: Buffer;
}

/** Makes a unit of these events. `bytes` is larger than the events if the unit also adds passages, for example. */
export const unitOf = (
  retry: { key: string; body: string } | null,
  events: EventRow[],
  bytes = events.reduce((sum, event) => sum + Buffer.byteLength(JSON.stringify(event)), 0),
): Unit => ({ key: retry?.key ?? null, body: retry?.body ?? null, bytes, events });

const JSONB_VERSION = '\u0001';

/** Encodes a value in the binary format of jsonb. */
export const encodeJsonb = (value: unknown): Buffer => Buffer.from(`${JSONB_VERSION}${JSON.stringify(value)}`);

/** Encodes a unit for the write queue. */
export const encodeUnit = (unit: Unit): Buffer => encodeJsonb([unit]);

const OPENING = `${JSONB_VERSION}[{`;

/** Returns the unit with guards added, also inside a unit that has been encoded. */
export const withGuards = (unit: Unit, guards: Guards): Unit =>
  unit.encoded ? withMember(unit, unit.encoded, 'guards', JSON.stringify(guards)) : { ...unit, guards };

/** Returns the unit with what `<noun>_prepare` would compute for it: a JSON text in the form of the noun. Such a unit is a batch of its own. */
export const withPrepared = (unit: Unit, noun: string, json: string): Unit =>
  withMember(unit, unit.encoded ?? encodeUnit(unit), 'prepared', `{"${noun}":${json}}`);

/** Adds a member to an encoded unit. */
function withMember(unit: Unit, encoded: Buffer, name: string, json: string): Unit {
  const opening = Buffer.from(`${OPENING}"${name}":${json},`);
  return { ...unit, encoded: Buffer.concat([opening, encoded.subarray(OPENING.length)]) };
}

/** The result of a unit: `count` events starting at `seq`. Only the status `new` wrote anything. */
export interface Outcome {
  status: 'new' | 'replay' | 'conflict' | 'quota' | 'refused';
  seq: number;
  count: number;
  at: string;
  /** Results of effects, by `<noun>/<index of the event>`. For a replay: only those that cannot be derived again. */
  made?: Record<string, unknown>;
  refusal?: Refusal;
}

/** Why a noun refused a unit: an SQLSTATE that maps to a problem, a sentence for the client, and further members of the problem. */
interface Refusal {
  code: string;
  detail: string;
  members?: Record<string, unknown>;
  /** Index of the event that it refused. */
  event?: number;
  /** The change was made from a version that is no longer current, so the caller repeats it. */
  stale?: boolean;
}
