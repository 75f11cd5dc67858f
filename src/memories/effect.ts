import { z } from 'zod';
import type { Caller } from '../auth/index.ts';
import type { Outcome } from '../db/unit.ts';
import type { Effect, Wished } from '../feature.ts';
import { type Standing, standingsOf } from './answer.ts';
import { findReplaced } from './replaced.ts';
import { memory } from './schemas.ts';
import { readMade } from './sql.ts';
import { type MemoryWish, madeIn, wishOf } from './wish.ts';

/** Recorded decisions and tasks are memories. */
export const effect: Effect<MemoryWish> = {
  of: wishOf,
  // the memory that a decision takes the place of needs the right to change that one
  check: (caller, wished) =>
    findReplaced(
      caller,
      wished.flatMap(({ wish: { supersedes }, actor, subject }) =>
        supersedes === undefined ? [] : [{ ref: supersedes, actor, subject }],
      ),
    ),
  fields: {
    memory_id: z.string().optional().describe('the memory that it made, moved or says again'),
    task_id: z.string().optional().describe('what further updates name the task by'),
    grounded: memory.shape.grounded.optional(),
    stated: memory.shape.stated.optional(),
    reason: memory.shape.reason,
  },
  answer: async (caller, wished, outcome) => {
    const made = await memoriesOf(caller, wished, outcome);
    const isNew = ({ memory_id, wish }: Told) => outcome.status === 'new' && memory_id === wish.memory_id;
    const standings = await standingsOf(
      caller,
      made.map((one) => ({ memory_id: one.memory_id, isNew: isNew(one) })),
    );
    return new Map(made.map((one) => [one.place, fieldsOf(one, standings.get(one.memory_id), outcome)]));
  },
};

interface Told extends Wished<MemoryWish> {
  memory_id: string;
}

/** The memories of these events: made now, or when they were written. */
async function memoriesOf({ tenant }: Caller, wished: Wished<MemoryWish>[], outcome: Outcome): Promise<Told[]> {
  const { status, seq, count } = outcome;
  const versions = status === 'replay' ? await tenant.read((db) => readMade(db, tenant.id, seq, count)) : [];
  const bySeq = new Map(versions.map((one) => [one.seq, one.memory_id]));
  return wished.flatMap((one) => {
    const memory_id = bySeq.get(seq + one.place) ?? madeIn(outcome, one.place)?.memory_id;
    return memory_id === undefined ? [] : [{ ...one, memory_id }];
  });
}

/** A task goes by the name that it was given, or else by its memory's. */
const fieldsOf = ({ place, memory_id, wish: { kind, task_ref } }: Told, standing: Standing | undefined, outcome: Outcome) => ({
  memory_id,
  ...(kind === 'task' && { task_id: task_ref ?? memory_id }),
  ...standing,
  // said too often, it has no passages
  ...(outcome.status === 'new' && madeIn(outcome, place)?.counted && { chunk_ids: [] }),
});
