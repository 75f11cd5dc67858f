import { actorOf, type Caller, isAdmin, requireSubjectFor, visibilityById } from '../auth/index.ts';
import { findReplay } from '../db/idempotency.ts';
import { type EventRow, serviceEventOf, unitOf } from '../db/unit.ts';
import { assertVersion, expectedVersion, type IfMatch } from '../http/etag.ts';
import { assertWritten } from '../http/outcome.ts';
import { Problem } from '../http/problem.ts';
import type { Idempotency } from '../http/route.ts';
import { termPieces, withTerms } from '../passages/index.ts';
import { type Cited, cite, citeOne, type RefLimits, refuseDangling } from '../refs/index.ts';
import { answer, type WriteResult } from './answer.ts';
import { withMemory } from './effect.ts';
import { findReplaced } from './replacement.ts';
import { assertMayChange } from './rights.ts';
import type { Memory, MemoryPatch, MemoryRequest, NewMemory } from './schemas.ts';
import { screened } from './screen.ts';
import { readMemories, readMemory, readRefs, readSealed } from './sql.ts';
import { approved, effectOfState, eventOf, type MemoryLimits, patched, type State, stateOf } from './state.ts';

// Every change of a memory is one event, written in the same transaction as the change.

/** Maximum number of sources that a version passes on to the next one. */
const MAX_CARRIED_REFS = 10_000;
const MAX_TRIES = 5;

/** Creates memories atomically. */
export async function createMemories(
  caller: Caller,
  requests: MemoryRequest[],
  idempotency: Idempotency | null,
  limits: MemoryLimits,
): Promise<WriteResult> {
  const { unit, states } = await draftOf(caller, requests, idempotency, limits);
  const outcome = await caller.tenant.commit(await withTerms(caller.tenant, unit, termPieces(unit.events)));
  return answer(caller, unit, states, outcome, limits.needsSource);
}

/** Supersedes a memory with a new one. `match`: the versions of the old memory that the client accepts. */
export async function supersede(
  caller: Caller,
  old: Memory,
  request: NewMemory,
  match: IfMatch,
  idempotency: Idempotency | null,
  limits: MemoryLimits,
): Promise<WriteResult> {
  const { unit, states } = await draftOf(caller, [{ ...request, supersedes: old.memory_id }], idempotency, limits);
  const outcome = await caller.tenant.change('select * from replace_memory($1, $2, $3, $4::jsonb)', [
    caller.tenant.id,
    old.memory_id,
    expectedVersion(match, old),
    JSON.stringify(unit),
  ]);
  return answer(caller, unit, states, outcome, limits.needsSource);
}

async function draftOf(caller: Caller, requests: MemoryRequest[], idempotency: Idempotency | null, limits: MemoryLimits) {
  const pointerTo = (i: number) => (requests.length === 1 ? '#' : `#/memories/${i}`);
  const drafts = requests.map((item, i) => stateOf(caller.principal, item, pointerTo(i)));
  // ids sort by time; those of the same millisecond follow the order of the request
  const ids = drafts.map(({ memory_id }) => memory_id).sort();
  const states: State[] = [];
  for (const [i, one] of drafts.entries())
    states.push(await screened({ ...one, memory_id: ids[i]! }, limits.screener, pointerTo(i)));
  await refuseDangling(caller, citedBy(states, pointerTo, limits));
  await resolveSuperseded(caller, states);
  let remaining = limits.maxTextBytes;
  let bytes = 0;
  const events = states.map((state, i) => {
    const event = eventOf(state, 'memory.created', state.origin, limits, pointerTo(i));
    for (const { text } of event.passages) remaining -= Buffer.byteLength(text);
    if (remaining < 0)
      throw new Problem(
        'too-large',
        `A request can contain at most ${limits.maxTextBytes} bytes of searchable text; send fewer memories at once.`,
      );
    bytes += event.bytes;
    return withMemory(event.row, effectOfState(state));
  });
  return { unit: unitOf(idempotency, events, bytes), states };
}

function citedBy(
  states: Pick<State, 'refs' | 'body' | 'supersedes' | 'user_id'>[],
  pointerTo: (i: number) => string,
  limits: RefLimits,
): Cited {
  const cited: Cited = new Map();
  states.forEach(({ refs, body, supersedes, user_id }, i) => {
    cite(cited, refs, `${pointerTo(i)}/refs`, user_id, limits);
    for (const field of ['contradicts', 'refs'])
      if (Array.isArray(body[field])) cite(cited, body[field] as string[], `${pointerTo(i)}/body/${field}`, user_id, limits);
    if (supersedes !== undefined) citeOne(cited, { id: supersedes, pointer: `${pointerTo(i)}/supersedes`, subject: user_id });
  });
  return cited;
}

/** Replaces each `supersedes` by the id of its memory and adds that to the refs. Throws unless the caller may replace it. */
async function resolveSuperseded(caller: Caller, states: State[]): Promise<void> {
  const replacements = states.flatMap(({ supersedes, origin, user_id }) =>
    supersedes === undefined ? [] : [{ ref: supersedes, actor: origin, subject: user_id }],
  );
  const replaced = await findReplaced(caller, replacements);
  for (const state of states) {
    if (state.supersedes === undefined) continue;
    const { memory_id } = replaced.get(state.supersedes)!;
    state.supersedes = memory_id;
    state.refs = [memory_id, ...state.refs.filter((ref) => ref !== memory_id)];
  }
}

export interface Change {
  memory_id: string;
  /** The versions that the client accepts; one must be the current version. */
  match: IfMatch;
  idempotency: Idempotency | null;
}

/** Reads the current memory, and whether this change was already applied. */
async function readForChange({ tenant, principal }: Caller, { memory_id, match, idempotency }: Change) {
  const [known, current] = await tenant.read(
    async (db) =>
      [
        idempotency ? await findReplay(db, tenant.id, idempotency) : undefined,
        await readMemory(db, tenant.id, memory_id, visibilityById(principal)),
      ] as const,
  );
  if (!current) throw noMemory();
  requireSubjectFor(principal, current);
  if (known) assertWritten(known);
  if (!known && current.status === 'deleted') throw deleted();
  if (!known) assertVersion(match, current, 'memory');
  return { current, replay: known !== undefined };
}

export const noMemory = () => new Problem('not-found', 'There is no memory with this id.');
export const deleted = () => new Problem('gone', 'The memory was deleted.');

/** Retries if another change came first, unless the client named a version. */
async function retryOnConflict<T>(change: Change, attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1)
    try {
      return await attempt();
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'AM412' || change.match !== undefined) throw error;
      if (tries === MAX_TRIES)
        throw new Problem('conflict', 'Concurrent requests are changing the memory; try again.', { cause: error });
    }
}

export const patchMemory = (caller: Caller, change: Change, patch: MemoryPatch, limits: MemoryLimits): Promise<WriteResult> =>
  retryOnConflict(change, async () => {
    const { current, replay } = await readForChange(caller, change);
    if (replay) return { data: [current], replay };
    assertMayChange(caller.principal, current);
    const state = await patchedState(caller, current, patch, limits);
    if (patch.refs || patch.body)
      await refuseDangling(
        caller,
        citedBy([{ ...state, supersedes: undefined }], () => '#', limits),
      );
    if (patch.refs === undefined && current.ref_count > current.refs.length)
      state.refs = await caller.tenant.read((db) => readRefs(db, caller.tenant.id, current, MAX_CARRIED_REFS));
    return revise(caller, change, current, state, 'memory.updated', ['active', 'proposed', 'expired'], limits, patch.actor);
  });

/** Returns the encrypted original of a memory, if the tenant keeps it. */
async function sealedOf({ tenant }: Caller, { sensitivity, redactions, memory_id }: Memory): Promise<Pick<State, 'sealed'>> {
  // memories of earlier releases are marked `secret` and have no count of redactions
  if (redactions === undefined && sensitivity !== 'secret') return {};
  const sealed = await tenant.read((db) => readSealed(db, tenant.id, memory_id));
  return sealed ? { sealed } : {};
}

/** Returns the state of a memory with a patch applied. The patch is also applied to an encrypted original, or the next version would lose it. */
async function patchedState(caller: Caller, current: Memory, patch: MemoryPatch, { screener }: MemoryLimits): Promise<State> {
  const patchedOf = (memory: Memory) => screened(patched(caller.principal, memory, patch), screener, '#');
  const state = await patchedOf(current);
  const { sealed } = await sealedOf(caller, current);
  if (!sealed) return state;
  const original = screener.unseal(sealed, current.memory_id);
  const whole = original && (await patchedOf({ ...current, ...original }));
  // only if the same spans are redacted: the patch may have removed the context that identified a secret
  if (whole?.sealed && textOfState(whole) === textOfState(state)) return whole;
  return patch.text === undefined && patch.body === undefined ? { ...state, sealed } : state;
}

const textOfState = ({ text, body, tags, metadata }: State) => JSON.stringify([text, body, tags, metadata]);

export const approveMemory = (caller: Caller, change: Change, limits: MemoryLimits): Promise<WriteResult> =>
  retryOnConflict(change, async () => {
    const { current, replay } = await readForChange(caller, change);
    if (replay) return { data: [current], replay };
    assertMayChange(caller.principal, current);
    const state = { ...approved(current), ...(await sealedOf(caller, current)) };
    return revise(caller, change, current, state, 'memory.approved', ['proposed'], limits);
  });

async function revise(
  caller: Caller,
  { idempotency }: Change,
  current: Memory,
  state: State,
  kind: string,
  from: string[],
  limits: MemoryLimits,
  actor: Memory['origin'] = actorOf(caller.principal),
): Promise<WriteResult> {
  const { tenant, principal } = caller;
  const { row, bytes } = eventOf(state, kind, actor, limits);
  const outcome = await tenant.change('select * from revise_memory($1, $2, $3, $4, $5::jsonb, $6::jsonb)', [
    tenant.id,
    current.memory_id,
    current.version,
    from,
    // the edits of the text are kept, unless an admin replaces the text
    JSON.stringify({ ...effectOfState(state), tags: state.tags, restated: isAdmin(principal) && state.text !== current.text }),
    JSON.stringify(unitOf(idempotency, [row], bytes)),
  ]);
  assertWritten(outcome);
  const data = await tenant.read((db) => readMemories(db, tenant.id, [current.memory_id], visibilityById(principal)));
  return { data, replay: outcome.status === 'replay' };
}

/** Ends a memory: a caller who may change it deletes it; an admin rejects a proposal. */
export const closeMemory = (caller: Caller, change: Change, status: 'deleted' | 'rejected'): Promise<WriteResult> =>
  retryOnConflict(change, async () => {
    const { current, replay } = await readForChange(caller, change);
    if (replay) return { data: [current], replay };
    assertMayChange(caller.principal, current);
    const { tenant, principal } = caller;
    const outcome = await tenant.change('select * from close_memory($1, $2, $3, $4, $5, $6::jsonb)', [
      tenant.id,
      current.memory_id,
      current.version,
      status === 'rejected' ? ['proposed'] : ['active', 'proposed', 'rejected', 'superseded', 'expired'],
      status,
      JSON.stringify(unitOf(change.idempotency, [closingEvent(current, status, actorOf(principal))])),
    ]);
    assertWritten(outcome);
    const data = await tenant.read((db) => readMemories(db, tenant.id, [current.memory_id], visibilityById(principal)));
    return { data, replay: outcome.status === 'replay' };
  });

function closingEvent(current: Memory, status: string, actor: Memory['origin']): EventRow {
  const { memory_id, kind, scope, channel, user_id, agent_id, session_id, project_id, sensitivity, version } = current;
  return {
    ...serviceEventOf({
      kind: `memory.${status}`,
      session_id: session_id ?? memory_id,
      channel,
      actor_type: actor.type,
      actor_id: actor.id,
      content: { memory_id, kind, scope, version, status },
      sensitivity,
    }),
    ...(user_id !== undefined && { user_id }),
    ...(agent_id !== undefined && { agent_id }),
    ...(project_id !== undefined && { project_id }),
  };
}
