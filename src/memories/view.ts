import type { RowChecker } from '../db/query.ts';
import { Unreadable } from '../readable.ts';
import { compareTimes, parseTime, timeNow } from '../time.ts';
import { type Memory, type MemoryKind, memory } from './schemas.ts';

// Builds the response of a memory from its row. The content of recorded decisions and tasks has other field names.

export interface MemoryRecord {
  memory_id: string;
  kind: MemoryKind;
  scope: Memory['scope'];
  user_id: string | null;
  agent_id: string | null;
  session_id: string | null;
  project_id: string | null;
  channel: Memory['channel'];
  importance: number;
  pinned: boolean;
  repeats: number;
  marks: string[];
  /** Approved edits of its content; null if there are none. */
  edit_ids: string[] | null;
  blocked_in: string[] | null;
  /** Only rows for readers of retracted content have it set. */
  retracted: boolean;
  created_at: string;
  version: number;
  seq: number;
  status: Memory['status'];
  event_id: string;
  event_kind: string;
  content: Record<string, unknown>;
  sensitivity: Memory['sensitivity'];
  redactions: number | null;
  tags: string[];
  metadata: Record<string, unknown>;
  actor_type: string;
  actor_id: string;
  /** The trust if the content states none. */
  trust: Memory['trust'];
  superseded_by: string | null;
  supersedes: string | null;
  updated_at: string;
  refs: string[];
  ref_count: number;
  grounded: boolean;
  unsourced: boolean;
}

interface ContentFields {
  text: string;
  body: Record<string, unknown>;
  importance?: number;
  pinned?: boolean;
  valid_from?: string;
  valid_to?: string;
  expires_at?: string;
  supersedes?: string;
  origin?: Memory['origin'];
  trust?: Memory['trust'];
}

/** Returns the fields of a memory from the content of its event, which differ for recorded decisions and tasks. */
function contentFields(kind: string, content: Record<string, unknown>): ContentFields {
  if (kind === 'decision') {
    const { decision, scope: _scope, supersedes: _supersedes, ...body } = content;
    return { text: String(decision ?? ''), body };
  }
  if (kind === 'task_update') {
    const { title, ...body } = content;
    return { text: String(title ?? ''), body };
  }
  return { ...content, text: String(content.text ?? ''), body: (content.body ?? {}) as Record<string, unknown> };
}

const times = ['valid_from', 'valid_to', 'expires_at'] as const;

/** Normalises times: an erasure writes them in the format of the database. Invalid ones are left for `faultOfView`. */
function timesOf(fields: Partial<ContentFields>): Pick<ContentFields, (typeof times)[number]> {
  const stated = times.filter((name) => fields[name] !== undefined);
  return Object.fromEntries(stated.map((name) => [name, parseTime(String(fields[name])) ?? fields[name]]));
}

const CHANNELS = 4;

function marksOf({ retracted, blocked_in }: MemoryRecord): string[] {
  if (retracted) return ['retracted'];
  if (blocked_in === null || blocked_in.length === 0) return [];
  return [blocked_in.length === CHANNELS ? 'quarantined' : 'blocked'];
}

type EligibilityInput = Pick<Memory, 'status' | 'marks' | 'sensitivity' | 'valid_from' | 'valid_to'> & { unsourced: boolean };

/** Returns whether contexts include the memory, and if not, why. */
export function eligibilityOf(input: EligibilityInput, at = timeNow()): Pick<Memory, 'stated' | 'reason'> {
  const reason = ineligibleReason(input, at);
  return reason === undefined ? { stated: true } : { stated: false, reason };
}

function ineligibleReason(
  { status, marks, sensitivity, valid_from, valid_to, unsourced }: EligibilityInput,
  at: string,
): Memory['reason'] {
  if (status !== 'active') return status;
  if (sensitivity === 'secret') return 'secret';
  if (marks.some((mark) => mark === 'retracted' || mark === 'quarantined')) return 'hidden';
  const isValid =
    (valid_from === undefined || compareTimes(valid_from, at) <= 0) && (valid_to === undefined || compareTimes(valid_to, at) > 0);
  if (!isValid) return 'not_valid';
  return unsourced ? 'ungrounded' : undefined;
}

const SHAPE = { objects: ['content', 'metadata'], lists: ['tags', 'refs', 'marks'] };

/** Returns the memory of a row as of the time `at`. An unreadable row becomes a marker (readable.ts). */
export function toMemory(judge: RowChecker, row: MemoryRecord, at = timeNow()): Memory {
  const ill_formed = judge.faultOf(row, SHAPE);
  if (ill_formed !== undefined) return unreadableMemory(row, ill_formed);
  const view = viewOf(row, at);
  const reason = faultOfView(view);
  if (reason === undefined) return view;
  judge.faultOf(unreadableMemory(row, reason));
  return unreadableMemory(row, reason);
}

const unreadableMemory = ({ memory_id, version }: MemoryRecord, reason: string): Memory =>
  ({ memory_id, version, unreadable: new Unreadable(reason) }) as unknown as Memory;

/** Validates the response: the content is JSON that the database does not validate. */
function faultOfView(view: Memory): string | undefined {
  const { error } = memory.safeParse(view);
  if (error) return `${error.issues[0]!.path.join('.')} ${error.issues[0]!.message}`;
  const wrong = times.find((name) => view[name] !== undefined && parseTime(view[name]!) === undefined);
  return wrong && `${wrong} is not a time`;
}

function viewOf(row: MemoryRecord, at: string): Memory {
  const { text, body, ...fields } = contentFields(row.event_kind, row.content);
  const isDeleted = row.status === 'deleted';
  const validity = timesOf(fields);
  const { expires_at } = validity;
  const over = row.status === 'active' && expires_at !== undefined && compareTimes(expires_at, at) <= 0;
  const supersedes = row.supersedes ?? fields.supersedes;
  const status = over ? 'expired' : row.status;
  const marks = [...row.marks, ...marksOf(row)];
  return {
    memory_id: row.memory_id,
    version: row.version,
    seq: row.seq,
    event_id: row.event_id,
    kind: row.kind,
    text: isDeleted ? '' : text,
    body: isDeleted ? {} : body,
    scope: row.scope,
    status,
    ...(row.user_id !== null && { user_id: row.user_id }),
    ...(row.agent_id !== null && { agent_id: row.agent_id }),
    ...(row.session_id !== null && { session_id: row.session_id }),
    ...(row.project_id !== null && { project_id: row.project_id }),
    channel: row.channel,
    sensitivity: row.sensitivity,
    ...(row.redactions !== null && !isDeleted && { redactions: row.redactions }),
    tags: row.tags,
    metadata: row.metadata,
    // the importance of a task is that of its row, not of its newest update
    importance: (row.kind === 'task' ? undefined : fields.importance) ?? row.importance,
    pinned: (row.kind === 'task' ? undefined : fields.pinned) ?? row.pinned,
    ...validity,
    refs: row.refs,
    ref_count: row.ref_count,
    ...(row.repeats > 0 && { repeats: row.repeats }),
    grounded: row.grounded,
    ...eligibilityOf({ ...validity, status, marks, sensitivity: row.sensitivity, unsourced: row.unsourced }, at),
    trust: fields.trust ?? row.trust,
    origin: fields.origin ?? { type: row.actor_type, id: row.actor_id },
    marks,
    ...(row.edit_ids !== null && { edit_ids: row.edit_ids }),
    ...(supersedes !== undefined && supersedes !== null && { supersedes }),
    ...(row.superseded_by !== null && { superseded_by: row.superseded_by }),
    created_at: row.created_at,
    updated_at: row.updated_at,
  };
}
