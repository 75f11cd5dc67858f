import { type Caller, type Visibility, visibilityById, withRetracted } from '../auth/index.ts';
import type { Db } from '../db/query.ts';
import type { Outcome, Unit } from '../db/unit.ts';
import { assertWritten } from '../http/outcome.ts';
import { Problem } from '../http/problem.ts';
import { appliedEffect } from './effect.ts';
import type { Memory } from './schemas.ts';
import { isAct, type NeedsSource } from './sources.ts';
import { readMemories, readVersionsBySeq } from './sql.ts';
import type { State } from './state.ts';
import { eligibilityOf } from './view.ts';

// Builds the response to a request that writes memories.

export interface WriteResult {
  data: Memory[];
  replay: boolean;
}

export async function answer(
  caller: Caller,
  unit: Unit,
  states: State[],
  outcome: Outcome,
  needsSource: NeedsSource,
): Promise<WriteResult> {
  assertWritten(outcome);
  const replay = outcome.status === 'replay';
  const data = replay
    ? await replayedMemories(caller, outcome)
    : await writtenMemories(caller, unit, states, outcome, needsSource);
  if (data.length === 0) throw new Problem('not-found', 'The memory no longer exists.');
  return { data, replay };
}

/** Reads the memories that the first attempt wrote, as the caller may see them now: they may have been retracted since. */
function replayedMemories({ tenant, principal }: Caller, outcome: Outcome): Promise<Memory[]> {
  return tenant.read(async (db) => {
    const versions = await readVersionsBySeq(db, tenant.id, outcome.seq, outcome.count);
    const bySeq = new Map(versions.map(({ seq, memory_id }) => [seq, memory_id]));
    const ids = Array.from(
      { length: outcome.count },
      (_, i) => bySeq.get(outcome.seq + i) ?? appliedEffect(outcome, i)?.memory_id ?? '',
    );
    const memories = await readById(db, tenant.id, ids, visibilityById(principal));
    return ids.flatMap((id) => memories.get(id) ?? []);
  });
}

/** A requested memory, and the memory that it was resolved to. */
interface Target {
  memory_id: string;
  state: State;
  /** The memory as the request states it. */
  requested(): Memory;
}

async function writtenMemories(
  caller: Caller,
  unit: Unit,
  states: State[],
  outcome: Outcome,
  needsSource: NeedsSource,
): Promise<Memory[]> {
  const targets: Target[] = states.map((state, i) => ({
    memory_id: appliedEffect(outcome, i)!.memory_id,
    state,
    requested: () => viewOf(state, unit, i, outcome, needsSource),
  }));
  const { seen, hidden } = await readTargets(caller, targets.filter(mustRead));
  return targets.flatMap((one) => {
    if (!mustRead(one)) return one.requested();
    return seen.get(one.memory_id) ?? hiddenMemory(one, hidden.get(one.memory_id));
  });
}

/** Returns false for most writes: they create a memory whose response needs no read. */
const mustRead = ({ memory_id, state }: Target): boolean => memory_id !== state.memory_id || groundOf(state) === undefined;

/** Reads memories as the caller sees them in `seen`, and those hidden from the caller in `hidden`. */
async function readTargets({ tenant, principal }: Caller, targets: Target[]) {
  const none = new Map<string, Memory>();
  if (targets.length === 0) return { seen: none, hidden: none };
  const ids = targets.map(({ memory_id }) => memory_id);
  return tenant.read(async (db) => {
    const visibility = visibilityById(principal);
    const seen = await readById(db, tenant.id, ids, visibility);
    const others = ids.filter((id) => !seen.has(id));
    return { seen, hidden: others.length === 0 ? none : await readById(db, tenant.id, others, withRetracted(visibility)) };
  });
}

/** Returns the text of the request with only the id, version and time of a memory that is hidden from the caller, or nothing if the memory is gone. */
function hiddenMemory({ memory_id, requested }: Target, hidden: Memory | undefined): Memory[] {
  if (!hidden) return [];
  const { version, created_at } = hidden;
  return [{ ...requested(), memory_id, version, created_at, stated: false, reason: 'hidden' }];
}

export type Eligibility = Pick<Memory, 'grounded' | 'stated' | 'reason'>;

/** Reads the eligibility of memories that recorded events created, updated or repeated. They are acts, so a new one is grounded and stated. */
export async function readEligibility(
  { tenant, principal }: Caller,
  written: { memory_id: string; isNew: boolean }[],
): Promise<Map<string, Eligibility>> {
  const eligibility = new Map<string, Eligibility>(written.map(({ memory_id }) => [memory_id, { grounded: true, stated: true }]));
  const others = written.flatMap(({ memory_id, isNew }) => (isNew ? [] : [memory_id]));
  if (others.length === 0) return eligibility;
  const memories = await tenant.read((db) => readById(db, tenant.id, others, visibilityById(principal)));
  for (const id of others) {
    const { grounded = true, stated = false, reason = stated ? undefined : ('hidden' as const) } = memories.get(id) ?? {};
    eligibility.set(id, { grounded, stated, ...(reason && { reason }) });
  }
  return eligibility;
}

async function readById(db: Db, tenant: string, ids: string[], visibility: Visibility): Promise<Map<string, Memory>> {
  return new Map((await readMemories(db, tenant, ids, visibility)).map((view) => [view.memory_id, view]));
}

/** Returns whether a new memory is grounded, or undefined if its refs have to be looked up. */
function groundOf({ kind, refs }: State): boolean | undefined {
  if (isAct(kind)) return true;
  return refs.length === 0 ? false : undefined;
}

function viewOf(state: State, unit: Unit, i: number, { seq, at }: Outcome, needsSource: NeedsSource): Memory {
  const { event_id } = unit.events[i]!;
  const refs = [...new Set(state.refs)];
  const grounded = groundOf(state) === true;
  const unsourced = !grounded && needsSource(state.kind);
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
    grounded,
    ...eligibilityOf({ ...rest, sensitivity: state.sensitivity as Memory['sensitivity'], marks: [], unsourced }),
    marks: [],
    ...(supersedes !== undefined && { supersedes }),
    created_at: at,
    updated_at: at,
  };
}
