import { createHash } from 'node:crypto';
import type { EventRow, Outcome } from '../db/unit.ts';

/** The effect of an event that creates, updates or repeats a memory, as memories_apply reads it. Times are RFC 3339. */
export interface MemoryEffect {
  memory_id: string;
  kind: string;
  scope: string;
  /** Hex SHA-256 of what identifies the content: the text, or the name of a task. */
  text_hash: string;
  status: 'active' | 'proposed';
  importance: number;
  pinned: boolean;
  valid_from?: string;
  valid_to?: string;
  expires_at?: string;
  /** The memory that this one supersedes, by its id or the id of one of its events. */
  supersedes?: string;
  task_status?: string;
  /** The name of the task, or the id of its memory. */
  task_ref?: string;
  /** Fail with AM412 if an active memory has the same content (`If-None-Match: *`). */
  only_new?: boolean;
}

export const withMemory = (row: EventRow, effect: MemoryEffect): EventRow => ({
  ...row,
  effects: { ...row.effects, memories: effect },
});

/** The answer of memories_apply for an event. `counted`: the text was repeated too often, so no version was written and the event has no passages. */
export interface AppliedEffect {
  memory_id: string;
  counted: boolean;
}

/** Returns the memory of the event at this index of the unit. For a replay, only if no version names the memory. */
export const appliedEffect = ({ made }: Outcome, index: number): AppliedEffect | undefined =>
  made?.[`memories/${index}`] as AppliedEffect | undefined;

export const sha256Hex = (text: string): string => createHash('sha256').update(text).digest('hex');

/** The importance of recorded decisions and tasks, 0 to 1. `move_content` in functions.sql has the same values. */
const IMPORTANCE = { decision: 1, task: 0.8 };

/** Returns the id of the memory that a recorded event creates. It derives from the event's id, so a retry and a rebuild give the same id. */
const memoryIdOf = (event_id: string): string => `mem_${event_id.slice(4)}`;

/** Returns the effect of a recorded decision or task update. Events by tools and secret events have none. */
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
