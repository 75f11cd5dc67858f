import { z } from 'zod';
import type { Caller } from '../auth/index.ts';
import type { Outcome } from '../db/unit.ts';
import type { EffectHandler, EventEffect } from '../feature.ts';
import { type Eligibility, readEligibility } from './answer.ts';
import { appliedEffect, effectOfEvent, type MemoryEffect } from './effect.ts';
import { findReplaced } from './replacement.ts';
import { memory } from './schemas.ts';
import { readVersionsBySeq } from './sql.ts';

/** Turns recorded decisions and task updates into memories. */
export const effect: EffectHandler<MemoryEffect> = {
  derive: effectOfEvent,
  // a decision may supersede a memory only if the caller may change that memory
  check: (caller, effects) =>
    findReplaced(
      caller,
      effects.flatMap(({ effect: { supersedes }, actor, subject }) =>
        supersedes === undefined ? [] : [{ ref: supersedes, actor, subject }],
      ),
    ),
  fields: {
    memory_id: z.string().optional().describe('The memory that the event created, changed or repeated.'),
    task_id: z.string().optional().describe('Id of the task, for further updates.'),
    grounded: memory.shape.grounded.optional(),
    stated: memory.shape.stated.optional(),
    reason: memory.shape.reason,
  },
  answer: async (caller, effects, outcome) => {
    const memories = await memoriesOf(caller, effects, outcome);
    const isNew = ({ memory_id, effect }: EventMemory) => outcome.status === 'new' && memory_id === effect.memory_id;
    const eligibility = await readEligibility(
      caller,
      memories.map((one) => ({ memory_id: one.memory_id, isNew: isNew(one) })),
    );
    return new Map(memories.map((one) => [one.index, fieldsOf(one, eligibility.get(one.memory_id), outcome)]));
  },
};

interface EventMemory extends EventEffect<MemoryEffect> {
  memory_id: string;
}

/** Returns the memories of these events. For a replay, those that the first attempt wrote. */
async function memoriesOf({ tenant }: Caller, effects: EventEffect<MemoryEffect>[], outcome: Outcome): Promise<EventMemory[]> {
  const { status, seq, count } = outcome;
  const versions = status === 'replay' ? await tenant.read((db) => readVersionsBySeq(db, tenant.id, seq, count)) : [];
  const bySeq = new Map(versions.map((one) => [one.seq, one.memory_id]));
  return effects.flatMap((one) => {
    const memory_id = bySeq.get(seq + one.index) ?? appliedEffect(outcome, one.index)?.memory_id;
    return memory_id === undefined ? [] : [{ ...one, memory_id }];
  });
}

/** Returns the response fields of an event. A task without a name is named by its memory. */
const fieldsOf = (
  { index, memory_id, effect: { kind, task_ref } }: EventMemory,
  eligibility: Eligibility | undefined,
  outcome: Outcome,
) => ({
  memory_id,
  ...(kind === 'task' && { task_id: task_ref ?? memory_id }),
  ...eligibility,
  // repeated too often: the event has no passages
  ...(outcome.status === 'new' && appliedEffect(outcome, index)?.counted && { chunk_ids: [] }),
});
