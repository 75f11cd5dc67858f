import { bufferOf, type NewArtifact, sha256Of } from '../artifacts/index.ts';
import type { Principal } from '../auth/index.ts';
import { encodeUnit, type Unit, unitOf } from '../db/unit.ts';
import type { EventEffect } from '../feature.ts';
import { type IdempotencyRequest, idempotencyOf, type Mac } from '../http/idempotency.ts';
import { type JsonLimits, parseJson } from '../http/json.ts';
import { assertOwnTenant } from '../http/own_tenant.ts';
import { Problem } from '../http/problem.ts';
import { type Idempotency, parseBody } from '../http/route.ts';
import { termPieces } from '../passages/index.ts';
import { type Cited, cite, citeOne, type RefLimits } from '../refs/index.ts';
import type { Screener, ScreenerSource } from '../secrets/index.ts';
import { applyDefaults } from './defaults.ts';
import { type EffectHandlers, type EventLimits, type Prepared, prepareAll } from './prepare.ts';
import { type EventInput, eventsBody, type NewEvent } from './schemas.ts';

// Prepares the events of a request for writing: everything whose time grows with the size of the request. Large bodies are prepared in a worker.

export interface Draft {
  /** True if the body was a single event and not a list. */
  single: boolean;
  unit: Unit;
  /** The passages of a unit with very many, whose terms are computed before the commit. */
  termPieces: Buffer[];
  artifacts: NewArtifact[];
  cited: Cited;
  /** Changes of views that the events carry, by noun. */
  effects: Record<string, EventEffect[]>;
  summaries: EventSummary[];
}

/** The fields of the answer for one event. */
export interface EventSummary {
  event_id: string;
  artifact_id: string | undefined;
  passages: number;
  sensitivity: string;
  redactions: number | undefined;
  unindexed_bytes: number;
}

export function draftOf(
  principal: Principal,
  body: EventInput | { events: EventInput[] },
  idempotency: Idempotency | null,
  limits: EventLimits & { screener: Screener },
  handlers: EffectHandlers,
): Draft {
  const single = !('events' in body);
  const events = (single ? [body] : body.events).map((one) => applyDefaults(principal, one));
  const prepared = prepareAll(principal, limits.screener, events, (i) => pointerTo(events, i), limits, handlers);
  return {
    single,
    unit: unitOf(
      idempotency,
      prepared.map(({ row }) => row),
      prepared.reduce((sum, { bytes }) => sum + bytes, 0),
    ),
    termPieces: termPieces(prepared.map(({ row }) => row)),
    artifacts: prepared.flatMap(artifactOf),
    cited: citationsOf(events, limits),
    effects: effectsByNoun(prepared),
    summaries: prepared.map(summaryOf),
  };
}

/** The input of the worker. */
export interface LargeRequest {
  bytes: Uint8Array;
  json: JsonLimits;
  /** Maximum size of the body of a single event, in bytes. */
  maxSingle: number;
  limits: EventLimits;
  principal: Principal;
  source: ScreenerSource;
  idempotencyRequest: IdempotencyRequest | null;
}

/** Runs in a worker: parses, validates and prepares a large body. */
export function draftLarge(
  { bytes, json, maxSingle, limits, principal, source, idempotencyRequest }: LargeRequest,
  screener: Screener,
  mac: Mac,
  handlers: EffectHandlers,
): { value: Draft; transfer: ArrayBuffer[] } {
  const parsed = parseJson(bufferOf(bytes), json);
  if (bytes.length > maxSingle && !Array.isArray((parsed as { events?: unknown } | null)?.events))
    throw new Problem('too-large', `The body has ${bytes.length} bytes; a single event can have at most ${maxSingle}.`);
  assertOwnTenant(source.tenant_id, {}, parsed);
  const idempotency = idempotencyOf(idempotencyRequest, parsed, mac);
  const body = parseBody(eventsBody, parsed) as EventInput | { events: EventInput[] };
  const draft = draftOf(principal, body, idempotency, { ...limits, screener }, handlers);
  const encoded = encodeUnit(draft.unit);
  const buffers = [encoded, ...draft.artifacts.map((artifact) => artifact.bytes)];
  return { value: { ...draft, unit: { ...draft.unit, events: [], encoded } }, transfer: buffers.map(ownBuffer) };
}

/** Returns the memory of a buffer. These buffers are too large for Node's shared pool, so each has its own memory. */
const ownBuffer = ({ buffer }: Buffer): ArrayBuffer => buffer as ArrayBuffer;

/** Restores the buffers of a draft that was received from a worker. */
export const receiveDraft = ({ unit, termPieces, artifacts, ...draft }: Draft): Draft => ({
  ...draft,
  termPieces: termPieces.map(bufferOf),
  unit: { ...unit, encoded: bufferOf(unit.encoded!) },
  artifacts: artifacts.map((artifact) => ({ ...artifact, bytes: bufferOf(artifact.bytes), sha256: bufferOf(artifact.sha256) })),
});

const pointerTo = (events: NewEvent[], i: number) => (events.length === 1 ? '#' : `#/events/${i}`);

const summaryOf = ({ row, passages, unindexed_bytes }: Prepared): EventSummary => ({
  event_id: row.event_id,
  artifact_id: row.artifact_id,
  passages: passages.length,
  sensitivity: row.sensitivity,
  redactions: row.redactions,
  unindexed_bytes,
});

function artifactOf({ row, overflow }: Prepared): NewArtifact[] {
  if (!overflow) return [];
  const bytes = Buffer.from(overflow.text);
  const { channel, sensitivity, user_id } = row;
  const media_type = 'text/plain; charset=utf-8';
  return [{ artifact_id: overflow.artifact_id, media_type, bytes, sha256: sha256Of(bytes), channel, sensitivity, user_id }];
}

/** Returns the ids that the events of a request cite. */
function citationsOf(events: NewEvent[], limits: RefLimits): Cited {
  const cited: Cited = new Map();
  events.forEach((item, i) => {
    const base = pointerTo(events, i);
    cite(cited, item.refs, `${base}/refs`, item.user_id, limits);
    if (item.kind === 'decision' && item.content.supersedes !== undefined)
      citeOne(cited, { id: item.content.supersedes, pointer: `${base}/content/supersedes`, subject: item.user_id });
  });
  return cited;
}

function effectsByNoun(prepared: Prepared[]): Record<string, EventEffect[]> {
  const byNoun: Record<string, EventEffect[]> = {};
  prepared.forEach(({ row: { actor_type, actor_id, user_id }, effects }, index) => {
    for (const noun in effects) {
      const ofNoun = byNoun[noun] ?? [];
      byNoun[noun] = ofNoun;
      ofNoun.push({ index, effect: effects[noun]!, actor: { type: actor_type, id: actor_id }, subject: user_id });
    }
  });
  return byNoun;
}
