import { type Caller, type Sight, sightById, withRetracted } from '../auth/index.ts';
import type { Db } from '../db/query.ts';
import type { Outcome, Unit } from '../db/unit.ts';
import { assertWritten } from '../http/outcome.ts';
import { Problem } from '../http/problem.ts';
import type { Memory } from './schemas.ts';
import { isAct, type NeedsSource } from './sources.ts';
import { readMade, readMemories } from './sql.ts';
import type { State } from './state.ts';
import { statedOf } from './view.ts';
import { madeIn } from './wish.ts';

// What is answered to who made memories.

export interface Written {
  data: Memory[];
  replay: boolean;
}

export async function answer(
  caller: Caller,
  unit: Unit,
  states: State[],
  outcome: Outcome,
  needsSource: NeedsSource,
): Promise<Written> {
  assertWritten(outcome);
  const replay = outcome.status === 'replay';
  const data = replay ? await toldAgain(caller, outcome) : await told(caller, unit, states, outcome, needsSource);
  if (data.length === 0) throw new Problem('not-found', 'The memory is not there any more.');
  return { data, replay };
}

/** What was made then, as the caller may see it now: it may have been retracted since. */
function toldAgain({ tenant, principal }: Caller, outcome: Outcome): Promise<Memory[]> {
  return tenant.read(async (db) => {
    const versions = await readMade(db, tenant.id, outcome.seq, outcome.count);
    const bySeq = new Map(versions.map(({ seq, memory_id }) => [seq, memory_id]));
    const ids = Array.from(
      { length: outcome.count },
      (_, i) => bySeq.get(outcome.seq + i) ?? madeIn(outcome, i)?.memory_id ?? '',
    );
    const found = await readById(db, tenant.id, ids, sightById(principal));
    return ids.flatMap((id) => found.get(id) ?? []);
  });
}

/** A memory that was asked for, and the one that it came to. */
interface Answered {
  memory_id: string;
  state: State;
  /** As it was asked for. */
  own(): Memory;
}

async function told(caller: Caller, unit: Unit, states: State[], outcome: Outcome, needsSource: NeedsSource): Promise<Memory[]> {
  const answered: Answered[] = states.map((state, i) => ({
    memory_id: madeIn(outcome, i)!.memory_id,
    state,
    own: () => viewOf(state, unit, i, outcome, needsSource),
  }));
  const { seen, held } = await lookAt(caller, answered.filter(needsLook));
  return answered.flatMap((one) => {
    if (!needsLook(one)) return one.own();
    return seen.get(one.memory_id) ?? hiddenFrom(one, held.get(one.memory_id));
  });
}

/** Most writes make memories of their own, for which nothing has to be read. */
const needsLook = ({ memory_id, state }: Answered): boolean => memory_id !== state.memory_id || groundOf(state) === undefined;

/** Memories as the caller sees them; and those that it does not see, as they are held. */
async function lookAt({ tenant, principal }: Caller, answered: Answered[]) {
  const none = new Map<string, Memory>();
  if (answered.length === 0) return { seen: none, held: none };
  const ids = answered.map(({ memory_id }) => memory_id);
  return tenant.read(async (db) => {
    const sight = sightById(principal);
    const seen = await readById(db, tenant.id, ids, sight);
    const hidden = ids.filter((id) => !seen.has(id));
    return { seen, held: hidden.length === 0 ? none : await readById(db, tenant.id, hidden, withRetracted(sight)) };
  });
}

/** Of what is hidden from who says it again only its place is told, beside the words that were just said. */
function hiddenFrom({ memory_id, own }: Answered, held: Memory | undefined): Memory[] {
  if (!held) return [];
  const { version, created_at } = held;
  return [{ ...own(), memory_id, version, created_at, stated: false, reason: 'hidden' }];
}

export type Standing = Pick<Memory, 'grounded' | 'stated' | 'reason'>;

/** How memories stand that recorded events made, moved or said again. Those are acts, so one of these that is new is stated. */
export async function standingsOf(
  { tenant, principal }: Caller,
  made: { memory_id: string; isNew: boolean }[],
): Promise<Map<string, Standing>> {
  const standings = new Map<string, Standing>(made.map(({ memory_id }) => [memory_id, { grounded: true, stated: true }]));
  const others = made.flatMap(({ memory_id, isNew }) => (isNew ? [] : [memory_id]));
  if (others.length === 0) return standings;
  const found = await tenant.read((db) => readById(db, tenant.id, others, sightById(principal)));
  for (const id of others) {
    const { grounded = true, stated = false, reason = stated ? undefined : ('hidden' as const) } = found.get(id) ?? {};
    standings.set(id, { grounded, stated, ...(reason && { reason }) });
  }
  return standings;
}

async function readById(db: Db, tenant: string, ids: string[], sight: Sight): Promise<Map<string, Memory>> {
  return new Map((await readMemories(db, tenant, ids, sight)).map((view) => [view.memory_id, view]));
}

/** Whether a new memory rests on something; undefined where what it cites has to be looked at. */
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
    ...statedOf({ ...rest, sensitivity: state.sensitivity as Memory['sensitivity'], marks: [], unsourced }),
    marks: [],
    ...(supersedes !== undefined && { supersedes }),
    created_at: at,
    updated_at: at,
  };
}
