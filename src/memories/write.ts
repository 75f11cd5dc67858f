import { type Caller, sightById, withRetracted } from '../auth/index.ts';
import { entryOf, type Outcome, type Unit } from '../db/commit.ts';
import { recallUnit } from '../db/idempotency.ts';
import { Problem } from '../http/problem.ts';
import type { Idempotency } from '../http/route.ts';
import { type Cited, cite, refuseDangling } from './refs.ts';
import type { Memory, MemoryPatch, NewMemory, Wanted } from './schemas.ts';
import { screened } from './screen.ts';
import { readMade, readMeant, readMemories, readRefs } from './sql.ts';
import {
  actorOf,
  approved,
  assertMayChange,
  eventOf,
  isAct,
  type MemoryLimits,
  patched,
  type State,
  stateOf,
  wishFor,
} from './state.ts';

// Every change of a memory is one event, written in one transaction with what it changes.

export interface Written {
  data: Memory[];
  replay: boolean;
}

/** Of what a version rests on so much is carried to the next. */
const MAX_CARRIED_REFS = 10_000;
const MAX_TRIES = 5;

const keyed = (idempotency: Idempotency | null) => ({ key: idempotency?.key ?? null, body: idempotency?.body ?? null });

function assertWritten({ status }: Outcome): void {
  if (status === 'conflict') throw new Problem('conflict', 'This Idempotency-Key was used with another body.');
  if (status === 'quota') throw new Problem('quota-exceeded', 'The tenant has used all of its storage.');
}

/** Makes memories, all or none. */
export async function remember(
  caller: Caller,
  given: Wanted[],
  idempotency: Idempotency | null,
  limits: MemoryLimits,
): Promise<Written> {
  const { unit, states } = await unitOf(caller, given, idempotency, limits);
  return answer(caller, unit, states, await caller.tenant.commit(unit));
}

/** Makes a memory in the place of another. `version`: what the client has read of the old one. */
export async function supersede(
  caller: Caller,
  old: Memory,
  given: NewMemory,
  version: number | undefined,
  idempotency: Idempotency | null,
  limits: MemoryLimits,
): Promise<Written> {
  const { unit, states } = await unitOf(caller, [{ ...given, supersedes: old.memory_id }], idempotency, limits);
  const outcome = await caller.tenant.change('select * from replace_memory($1, $2, $3, $4::jsonb)', [
    caller.tenant.id,
    old.memory_id,
    version,
    JSON.stringify(unit),
  ]);
  return answer(caller, unit, states, outcome);
}

async function unitOf(caller: Caller, given: Wanted[], idempotency: Idempotency | null, limits: MemoryLimits) {
  const pointerTo = (i: number) => (given.length === 1 ? '#' : `#/memories/${i}`);
  const drafts = given.map((item, i) => stateOf(caller.principal, item, pointerTo(i)));
  // ids sort by time; those of one moment as they were given
  const ids = drafts.map(({ memory_id }) => memory_id).sort();
  const states = drafts.map((one, i) => screened({ ...one, memory_id: ids[i]! }, limits.screener, pointerTo(i)));
  await refuseDangling(caller, citedBy(states, pointerTo));
  await resolveSuperseded(caller, states);
  let room = limits.maxTextBytes;
  let bytes = 0;
  const events = states.map((state, i) => {
    const made = eventOf(state, 'memory.created', state.origin, limits, pointerTo(i));
    for (const { text } of made.row.chunks) room -= Buffer.byteLength(text);
    if (room < 0)
      throw new Problem(
        'too-large',
        `A request may hold at most ${limits.maxTextBytes} bytes of searchable text; send fewer memories at once.`,
      );
    bytes += made.bytes;
    return { ...made.row, memory: wishFor(state) };
  });
  return { unit: { ...keyed(idempotency), bytes, events } satisfies Unit, states };
}

function citedBy(states: Pick<State, 'refs' | 'body' | 'supersedes'>[], pointerTo: (i: number) => string): Cited {
  const cited: Cited = new Map();
  states.forEach(({ refs, body, supersedes }, i) => {
    cite(cited, refs, `${pointerTo(i)}/refs`);
    for (const field of ['contradicts', 'refs'])
      if (Array.isArray(body[field])) cite(cited, body[field] as string[], `${pointerTo(i)}/body/${field}`);
    if (supersedes !== undefined) cited.set(supersedes, `${pointerTo(i)}/supersedes`);
  });
  return cited;
}

/** What is superseded is named by its own id, is cited, and must be the caller's to change. */
async function resolveSuperseded(caller: Caller, states: State[]): Promise<void> {
  const { tenant, principal } = caller;
  const named = states.flatMap(({ supersedes }) => (supersedes === undefined ? [] : [supersedes]));
  if (named.length === 0) return;
  const meant = await tenant.read((db) => readMeant(db, tenant.id, named, sightById(principal)));
  for (const state of states) {
    if (state.supersedes === undefined) continue;
    const old = meant.get(state.supersedes);
    if (!old) throw new Problem('conflict', 'What is to be superseded is no memory.');
    assertMayChange(principal, old);
    state.supersedes = old.memory_id;
    state.refs = [old.memory_id, ...state.refs.filter((ref) => ref !== old.memory_id)];
  }
}

async function answer({ tenant, principal }: Caller, unit: Unit, states: State[], outcome: Outcome): Promise<Written> {
  assertWritten(outcome);
  const replay = outcome.status === 'replay';
  const { seq, count, at, memories } = outcome;
  // most writes make a memory of their own: nothing has to be read to answer them
  const fresh = replay
    ? []
    : states.map((state, i) =>
        memories?.[i] === state.memory_id && groundOf(state) !== undefined ? viewOf(state, unit, i, seq, at) : undefined,
      );
  if (!replay && fresh.every((view) => view !== undefined)) return { data: fresh, replay };
  const data = await tenant.read(async (db) => {
    const ids = replay
      ? (await readMade(db, tenant.id, seq, count)).map(({ memory_id }) => memory_id)
      : memories!.map((id) => id!);
    // who says what was retracted is told its own words
    const sight = withRetracted(sightById(principal));
    const found = new Map((await readMemories(db, tenant.id, ids, sight)).map((view) => [view.memory_id, view]));
    return ids.flatMap((id, i) => fresh[i] ?? found.get(id) ?? []);
  });
  if (data.length === 0) throw new Problem('not-found', 'The memory is not there any more.');
  return { data, replay };
}

/** Whether a new memory rests on something; undefined where what it cites has to be looked at. */
function groundOf({ kind, refs }: State): boolean | undefined {
  if (isAct(kind)) return true;
  return refs.length === 0 ? false : undefined;
}

function viewOf(state: State, unit: Unit, i: number, seq: number, at: string): Memory {
  const { event_id } = unit.events[i]!;
  const refs = [...new Set(state.refs)];
  const { supersedes, sealed: _, only_new: __, ...rest } = JSON.parse(JSON.stringify(state)) as State;
  return {
    ...rest,
    channel: state.channel as Memory['channel'],
    sensitivity: state.sensitivity as Memory['sensitivity'],
    version: 1,
    seq: seq + i,
    event_id,
    refs: refs.slice(0, 256),
    ref_count: refs.length,
    grounded: groundOf(state) === true,
    marks: [],
    ...(supersedes !== undefined && { supersedes }),
    created_at: at,
    updated_at: at,
  };
}

export interface Change {
  memory_id: string;
  /** The version that the client has read, by If-Match. */
  version: number | undefined;
  idempotency: Idempotency | null;
}

/** The memory as it is now, and whether this very change was made before. */
async function readForChange({ tenant, principal }: Caller, { memory_id, version, idempotency }: Change) {
  const [known, current] = await tenant.read(
    async (db) =>
      [
        idempotency ? await recallUnit(db, tenant.id, idempotency) : undefined,
        (await readMemories(db, tenant.id, [memory_id], sightById(principal)))[0],
      ] as const,
  );
  if (!current) throw noMemory();
  if (known) assertWritten(known);
  if (!known && current.status === 'deleted') throw deleted();
  if (!known && version !== undefined && version !== current.version)
    throw new Problem('precondition-failed', `The memory has version ${current.version}.`, {
      headers: { ETag: `"${current.version}"` },
    });
  return { current, replay: known !== undefined };
}

export const noMemory = () => new Problem('not-found', 'There is no memory with this id.');
export const deleted = () => new Problem('gone', 'The memory was deleted.');

/** Tries again where another change came between, unless the client said which version it means. */
async function changing<T>(change: Change, attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1)
    try {
      return await attempt();
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'AM412' || change.version !== undefined) throw error;
      if (tries === MAX_TRIES)
        throw new Problem('conflict', 'The memory is being changed by others; try again.', { cause: error });
    }
}

export const patchMemory = (caller: Caller, change: Change, patch: MemoryPatch, limits: MemoryLimits): Promise<Written> =>
  changing(change, async () => {
    const { current, replay } = await readForChange(caller, change);
    if (replay) return { data: [current], replay };
    assertMayChange(caller.principal, current);
    const state = screened(patched(caller.principal, current, patch), limits.screener, '#');
    if (patch.refs || patch.body)
      await refuseDangling(
        caller,
        citedBy([{ ...state, supersedes: undefined }], () => '#'),
      );
    if (patch.refs === undefined && current.ref_count > current.refs.length)
      state.refs = await caller.tenant.read((db) => readRefs(db, caller.tenant.id, current, MAX_CARRIED_REFS));
    return revise(caller, change, current, state, 'memory.updated', ['active', 'proposed', 'expired'], limits, patch.actor);
  });

export const approveMemory = (caller: Caller, change: Change, limits: MemoryLimits): Promise<Written> =>
  changing(change, async () => {
    const { current, replay } = await readForChange(caller, change);
    if (replay) return { data: [current], replay };
    return revise(caller, change, current, approved(current), 'memory.approved', ['proposed'], limits);
  });

async function revise(
  caller: Caller,
  { idempotency }: Change,
  current: Memory,
  state: State,
  kind: string,
  from: string[],
  limits: MemoryLimits,
  actor = actorOf(caller.principal),
): Promise<Written> {
  const { tenant, principal } = caller;
  const { row, bytes } = eventOf(state, kind, actor, limits);
  const outcome = await tenant.change('select * from revise_memory($1, $2, $3, $4, $5::jsonb, $6::jsonb)', [
    tenant.id,
    current.memory_id,
    current.version,
    from,
    JSON.stringify({ ...wishFor(state), tags: state.tags }),
    JSON.stringify({ ...keyed(idempotency), bytes, events: [row] }),
  ]);
  assertWritten(outcome);
  const data = await tenant.read((db) => readMemories(db, tenant.id, [current.memory_id], sightById(principal)));
  return { data, replay: outcome.status === 'replay' };
}

/** Ends a memory: `deleted` by who may change it, `rejected` by an admin. */
export const closeMemory = (caller: Caller, change: Change, status: 'deleted' | 'rejected'): Promise<Written> =>
  changing(change, async () => {
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
      JSON.stringify(farewell(current, status, actorOf(principal), change.idempotency)),
    ]);
    assertWritten(outcome);
    const data = await tenant.read((db) => readMemories(db, tenant.id, [current.memory_id], sightById(principal)));
    return { data, replay: outcome.status === 'replay' };
  });

function farewell(current: Memory, status: string, actor: Memory['origin'], idempotency: Idempotency | null): Unit {
  const { memory_id, kind, scope, channel, user_id, agent_id, session_id, project_id, sensitivity, version } = current;
  const row = {
    ...entryOf({
      kind: `memory.${status}`,
      session_id: session_id ?? memory_id,
      channel,
      user_id,
      actor_type: actor.type,
      actor_id: actor.id,
      content: { memory_id, kind, scope, version, status },
      sensitivity,
    }),
    ...(agent_id !== undefined && { agent_id }),
    ...(project_id !== undefined && { project_id }),
  };
  return { ...keyed(idempotency), bytes: Buffer.byteLength(JSON.stringify(row)), events: [row] };
}
