import { withArtifact } from '../artifacts/index.ts';
import type { Principal } from '../auth/index.ts';
import { requireChannel, subjectOf } from '../auth/index.ts';
import type { EventRow } from '../db/unit.ts';
import type { Registry } from '../feature.ts';
import { Problem } from '../http/problem.ts';
import { newId } from '../id.ts';
import { indexOf, type Passage, withPassages } from '../passages/index.ts';
import type { RefLimits } from '../refs/index.ts';
import type { Sealed } from '../seal.ts';
import type { Screener } from '../secrets/index.ts';
import type { NewEvent } from './schemas.ts';

// Converts an event of a request into the row to store: subject, screening, excerpt, passages.

/** A longer text is stored as an artifact, and the event keeps its first EXCERPT_BYTES bytes. */
const EXCERPT_BYTES = 64 * 1024;

/** A text that is too long for its event. */
interface Overflow {
  artifact_id: string;
  text: string;
}

export interface Prepared {
  row: EventRow;
  overflow: Overflow | undefined;
  passages: Passage[];
  /** Changes of views that the event carries, by noun. */
  effects: Record<string, object>;
  /** Number of bytes that the event adds to the tenant's stored bytes. */
  bytes: number;
  /** Number of bytes of text that are not searchable. */
  unindexed_bytes: number;
}

export type EffectHandlers = Registry['effects'];

export interface EventLimits extends RefLimits {
  maxArtifactBytes: number;
  /** Maximum size of content and metadata, after a long text was replaced by an excerpt. */
  maxEventBytes: number;
  /** Maximum total size of the passages of a request. */
  maxTextBytes: number;
}

/** Prepares the events of a request, in order. `pointerTo` returns the JSON pointer of an event. */
export function prepareAll(
  principal: Principal,
  screener: Screener,
  events: NewEvent[],
  pointerTo: (i: number) => string,
  limits: EventLimits,
  handlers: EffectHandlers,
): Prepared[] {
  let remainingBytes = limits.maxTextBytes;
  return events.map((item, i) => {
    const prepared = prepare(principal, screener, item, pointerTo(i), limits, handlers);
    for (const { text } of prepared.passages) remainingBytes -= Buffer.byteLength(text);
    // all passages are indexed in one transaction, which must end before the statement timeout
    if (remainingBytes < 0)
      throw new Problem(
        'too-large',
        `A request can contain at most ${limits.maxTextBytes} bytes of searchable text; send fewer events at once.`,
      );
    return prepared;
  });
}

function prepare(
  principal: Principal,
  screener: Screener,
  event: NewEvent,
  pointer: string,
  limits: EventLimits,
  handlers: EffectHandlers,
): Prepared {
  requireChannel(principal, event.channel);
  const event_id = newId('evt');
  const screened = screen(screener, event, pointer, event_id);
  const { content, overflow } = excerpt(screened.content, `${pointer}/content`);
  const user_id = subjectOf(principal, event.user_id, needsSubject(event), { pointer: `${pointer}/user_id` });
  const row: EventRow = {
    event_id,
    session_id: event.session_id,
    channel: event.channel,
    actor_type: event.actor.type,
    actor_id: event.actor.id,
    kind: event.kind,
    content: screened.sealed ? { ...content, sealed: screened.sealed } : content,
    ...(user_id !== undefined && { user_id }),
    agent_id: event.agent_id,
    project_id: event.project_id,
    sensitivity: screened.sensitivity,
    tags: screened.tags,
    refs: event.refs,
    metadata: screened.metadata,
    ...(screened.redactions > 0 && { redactions: screened.redactions }),
    occurred_at: event.occurred_at,
  };
  const overflowBytes = overflow ? Buffer.byteLength(overflow.text) : 0;
  if (overflowBytes > limits.maxArtifactBytes) throw tooLarge('A text', overflowBytes, limits.maxArtifactBytes, pointer);
  let rowBytes = jsonBytes(row);
  // checks the whole row first, so that most events are serialized only once
  if (rowBytes > limits.maxEventBytes) refuseLarge(row, pointer, limits.maxEventBytes);
  // content that was declared `secret` is never indexed
  const { passages, unindexed_bytes } = row.sensitivity === 'secret' ? notIndexed : indexOf(row, overflow?.text);
  if (unindexed_bytes > 0) {
    // stored with the event, so that a retry and later reads return the same number
    row.content = { ...(row.content as object), unindexed_bytes };
    rowBytes = jsonBytes(row);
  }
  const effects = effectsOf(row, handlers);
  const bytes = rowBytes + jsonBytes(passages) + overflowBytes;
  return { row: withEffects(row, passages, effects, overflow), overflow, passages, effects, bytes, unindexed_bytes };
}

function effectsOf(row: EventRow, handlers: EffectHandlers): Record<string, object> {
  const effects: Record<string, object> = {};
  for (const [noun, handler] of handlers) {
    const effect = handler.derive(row);
    if (effect) effects[noun] = effect;
  }
  return effects;
}

function withEffects(
  row: EventRow,
  passages: Passage[],
  effects: Record<string, object>,
  overflow: Overflow | undefined,
): EventRow {
  const indexed = withPassages(row, passages);
  const named = overflow ? withArtifact(indexed, overflow.artifact_id) : indexed;
  return Object.keys(effects).length === 0 ? named : { ...named, effects: { ...named.effects, ...effects } };
}

const notIndexed = { passages: [], unindexed_bytes: 0 };

/** Returns true if the event requires a subject. */
const needsSubject = ({ channel, kind, content }: NewEvent): boolean =>
  channel === 'private' || (kind === 'decision' && content.scope === 'user');

interface ScreenedFields {
  content: Record<string, unknown>;
  metadata: Record<string, unknown>;
  tags: string[];
  sensitivity: NewEvent['sensitivity'];
  redactions: number;
  sealed?: Sealed;
}

/** Screens the free fields of an event for secrets. Drops the content of an event that was declared `secret`. */
function screen(screener: Screener, event: NewEvent, pointer: string, event_id: string): ScreenedFields {
  const { session_id, user_id, agent_id, project_id, refs, sensitivity } = event;
  screener.refuseIds({ session_id, user_id, agent_id, project_id, 'actor/id': event.actor.id }, pointer);
  if (refs.length > 0) screener.refuseIds(Object.fromEntries(refs.map((ref, i) => [i, ref])), `${pointer}/refs`);
  refuseReserved(event.content, ['sealed'], `${pointer}/content`);
  for (const name of ['supersedes', 'task_id', 'call_id']) {
    const id = (event.content as Record<string, unknown>)[name];
    if (typeof id === 'string') screener.refuseIds({ [name]: id }, `${pointer}/content`);
  }
  const free = { content: event.content as Record<string, unknown>, metadata: event.metadata, tags: event.tags };
  if (sensitivity === 'secret') {
    const tags = screener.screen({ tags: free.tags }, { pointer, aad: event_id }).value.tags;
    return { content: tombstone, metadata: {}, tags, sensitivity, redactions: 0 };
  }
  const { value, redactions, sealed } = screener.screen(free, { pointer, aad: event_id });
  return { ...value, sensitivity, redactions, ...(sealed && { sealed }) };
}

const jsonBytes = (value: unknown) => Buffer.byteLength(JSON.stringify(value));

function refuseLarge({ content, metadata }: EventRow, pointer: string, max: number): void {
  const bytes = jsonBytes(content) + jsonBytes(metadata);
  if (bytes > max) throw tooLarge('An event’s content and metadata', bytes, max, pointer);
}

const tooLarge = (what: string, bytes: number, max: number, pointer: string) =>
  new Problem('too-large', `${what} may have at most ${max} bytes; this one has ${bytes}.`, {
    errors: [{ pointer, detail: `must have at most ${max} bytes, has ${bytes}` }],
  });

/** Replaces content that was declared secret. Contains nothing from which it could be guessed, not even a hash. */
const tombstone = { redacted: true, reason: 'declared secret' };

/** Moves the longest text of the content into an artifact if it is too long for the event. */
function excerpt(
  content: Record<string, unknown>,
  pointer: string,
): { content: Record<string, unknown>; overflow: Overflow | undefined } {
  const [field, text] = longestText(content);
  if (field === undefined || Buffer.byteLength(text) <= EXCERPT_BYTES) return { content, overflow: undefined };
  refuseReserved(content, ['truncated', 'artifact_id', 'unindexed_bytes'], pointer);
  const artifact_id = newId('art');
  return {
    content: { ...content, [field]: truncateBytes(text, EXCERPT_BYTES), truncated: true, artifact_id },
    overflow: { artifact_id, text },
  };
}

/** Rejects fields that the service would overwrite, because everything that a client stores must read back equal. */
function refuseReserved(content: Record<string, unknown>, names: string[], pointer: string): void {
  const errors = names
    .filter((name) => Object.hasOwn(content, name))
    .map((name) => ({ pointer: `${pointer}/${name}`, detail: 'must not be set: the service sets this field' }));
  if (errors[0]) throw new Problem('validation', `${errors[0].pointer}: ${errors[0].detail}`, { errors });
}

function longestText(content: Record<string, unknown>): [string | undefined, string] {
  let longest: [string | undefined, string] = [undefined, ''];
  for (const [field, value] of Object.entries(content))
    if (typeof value === 'string' && value.length > longest[1].length) longest = [field, value];
  return longest;
}

/** Returns the longest prefix of a text that has at most `maxBytes` bytes in UTF-8 and splits no character. */
export function truncateBytes(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= maxBytes) return text;
  let end = maxBytes;
  // 10xxxxxx is a continuation byte
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end -= 1;
  return bytes.toString('utf8', 0, end);
}
