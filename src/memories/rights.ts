import { actorOf, isAdmin, type Principal, requireChannel, requireSubject } from '../auth/index.ts';
import { Problem } from '../http/problem.ts';
import type { Memory, MemoryKind } from './schemas.ts';

// Rules about who may create, change, end and replace memories.

export type Actor = Memory['origin'];

/** Kinds that agents follow as instructions: the output of a tool must never create, change or end one. */
const BINDING: MemoryKind[] = ['rule', 'decision', 'preference', 'handoff'];
const WIDE = ['policy', 'project', 'global'];

/** Returns true for rules that bind more than one subject and preferences that others see. Admins create or approve them. */
export const isGuarded = ({ kind, scope, channel }: { kind: string; scope: string; channel: string }): boolean =>
  WIDE.includes(scope) && (kind === 'rule' || (kind === 'preference' && channel !== 'private'));

/** Returns the trust of a text. Only a human's own login proves the author; any other actor is a claim of the request. */
export function trustOf(principal: Principal, { type, id }: Actor): Memory['trust'] {
  if (type === 'tool') return 'observed';
  const self = actorOf(principal);
  if (type === 'agent' || self.type !== 'human' || self.id !== id) return 'inferred';
  return isAdmin(principal) ? 'approved' : 'stated';
}

export function assertMayCreate(kind: MemoryKind, actor: Actor): void {
  if (actor.type === 'tool' && BINDING.includes(kind))
    throw new Problem('forbidden', `A tool cannot create a ${kind}: statements of tools are never binding.`);
}

/** Throws unless the caller, who sees the memory, may change or end it. */
export function assertMayChange(principal: Principal, memory: Memory): void {
  const { kind, scope, channel, user_id, trust } = memory;
  requireChannel(principal, channel);
  // a memory about one person belongs to that person, even if others can read it
  if (channel === 'private' || kind === 'preference' || scope === 'user') requireSubject(principal, user_id ?? principal.subject);
  if (isAdmin(principal)) return;
  if (isGuarded(memory)) throw new Problem('forbidden', `Only admins can change a ${kind} with the scope "${scope}".`);
  // everyone who works on a task may update it
  if (trust === 'approved' && channel !== 'private' && kind !== 'task')
    throw new Problem('forbidden', 'Only admins can change a memory that an admin created or approved.');
}

/** Throws unless the caller, who sees the memory, may replace it with a text of that actor. */
export function assertMayReplace(principal: Principal, old: Memory, actor: Actor): void {
  assertMayChange(principal, old);
  if (actor.type === 'tool' && BINDING.includes(old.kind))
    throw new Problem('forbidden', `A tool cannot replace a ${old.kind}: statements of tools are never binding.`);
  // otherwise a replacement with the same text would undo the edit
  if (!isAdmin(principal) && old.marks.some((mark) => mark === 'quarantined' || mark === 'blocked'))
    throw new Problem(
      'conflict',
      'The memory is quarantined or blocked by an edit; an admin must replace it or revert the edit.',
    );
}
