import { createHash } from 'node:crypto';
import type { EventRow, Outcome } from '../db/unit.ts';

/** The effect of an event that makes, moves or says again a memory, as memories_apply reads it. Times are RFC 3339. */
export interface MemoryEffect {
  memory_id: string;
  kind: string;
  scope: string;
  /** Hex SHA-256 of what makes it the same memory: its text, a task's name. */
  text_hash: string;
  status: 'active' | 'proposed';
  importance: number;
  pinned: boolean;
  valid_from?: string;
  valid_to?: string;
  expires_at?: string;
  /** The memory, or the event of one, that it takes the place of. */
  supersedes?: string;
  task_status?: string;
  /** A task may be named by its memory. */
  task_ref?: string;
  /** Refused with AM412 where the same is held already (`If-None-Match: *`). */
  only_new?: boolean;
}

export const withMemory = (row: EventRow, effect: MemoryEffect): EventRow => ({
  ...row,
  effects: { ...row.effects, memories: effect },
});

/** What memories_apply tells of an event. `counted`: said too often, it made no version, and its event has no passages. */
export interface AppliedEffect {
  memory_id: string;
  counted: boolean;
}

/** The memory of the event at this place of a unit. Of a replay only where no version names it. */
export const appliedEffect = ({ made }: Outcome, place: number): AppliedEffect | undefined =>
  made?.[`memories/${place}`] as AppliedEffect | undefined;

export const sha256Hex = (text: string): string => createHash('sha256').update(text).digest('hex');

/** How much a decision and a task weigh beside other memories, 0 to 1. */
const IMPORTANCE = { decision: 1, task: 0.8 };

/** The id of the memory that a recorded event makes: the event's own, so that a retry and a rebuild give the same. */
const memoryIdOf = (event_id: string): string => `mem_${event_id.slice(4)}`;

/**
 * The memory that a recorded event makes: a decision its decision, a task_update its task. What a tool says never becomes
 * either, and a secret is kept nowhere.
 * move_memory in functions.sql knows how much these weigh.
 */
export function effectOfEvent(event: EventRow): MemoryEffect | undefined {
  if (event.actor_type === 'tool' || event.sensitivity === 'secret') return undefined;
  const content = event.content as Record<string, string | undefined>;
  const base = {
    memory_id: memoryIdOf(event.event_id),
    status: 'active',
    pinned: false,
  } as const;
  const nearest = event.project_id === undefined ? 'global' : 'project';
  if (event.kind === 'decision')
    return {
      ...base,
      kind: 'decision',
      scope: content.scope ?? nearest,
      text_hash: sha256Hex(content.decision!),
      importance: IMPORTANCE.decision,
      ...(content.supersedes !== undefined && { supersedes: content.supersedes }),
    };
  if (event.kind === 'task_update')
    return {
      ...base,
      kind: 'task',
      scope: nearest,
      text_hash: sha256Hex(content.task_id ?? content.title!),
      importance: IMPORTANCE.task,
      task_status: content.status!,
      ...(content.task_id !== undefined && { task_ref: content.task_id }),
    };
  return undefined;
}
