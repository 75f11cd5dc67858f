import { createHash } from 'node:crypto';
import type { EventRow, MemoryWish } from '../db/unit.ts';

export const sha256Hex = (text: string): string => createHash('sha256').update(text).digest('hex');

/** How much a decision and a task weigh beside other memories, 0 to 1. */
const IMPORTANCE = { decision: 1, task: 0.8 };

/** The id of the memory that a recorded event makes: the event's own, so that a retry and a rebuild give the same. */
export const memoryIdOf = (event_id: string): string => `mem_${event_id.slice(4)}`;

/**
 * The memory that a recorded event makes: a decision its decision, a task_update its task. What a tool says never becomes
 * either, and a secret is kept nowhere.
 * memory_doc in functions.sql says the same of events that are in the log.
 */
export function wishOf(event: EventRow): MemoryWish | undefined {
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
