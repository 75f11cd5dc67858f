import { actorOf, isAdmin, type Principal, requireChannel, requireSubject } from '../auth/index.ts';
import { Problem } from '../http/problem.ts';
import type { Memory, MemoryKind } from './schemas.ts';

// Who may say, change, end and replace what.

export type Actor = Memory['origin'];

/** What a tool's output must never become, change or end: words that agents are told to follow. */
const BINDING: MemoryKind[] = ['rule', 'decision', 'preference', 'handoff'];
const WIDE = ['policy', 'project', 'global'];

/** Rules that bind more than one subject, and preferences that reach others as such, are for admins to make, or to approve. */
export const isGuarded = ({ kind, scope, channel }: { kind: string; scope: string; channel: string }): boolean =>
  WIDE.includes(scope) && (kind === 'rule' || (kind === 'preference' && channel !== 'private'));

/** A human is believed to have said what that human's own log-in says; who else is named in a request is a claim of it. */
export function trustOf(principal: Principal, { type, id }: Actor): Memory['trust'] {
  if (type === 'tool') return 'observed';
  const self = actorOf(principal);
  if (type === 'agent' || self.type !== 'human' || self.id !== id) return 'inferred';
  return isAdmin(principal) ? 'approved' : 'stated';
}

export function assertMaySay(kind: MemoryKind, actor: Actor): void {
  if (actor.type === 'tool' && BINDING.includes(kind))
    throw new Problem('forbidden', `A tool cannot create a ${kind}: statements of tools are never binding.`);
}

/** The right to change or end a memory that the caller sees. */
export function assertMayChange(principal: Principal, memory: Memory): void {
  const { kind, scope, channel, user_id, trust } = memory;
  requireChannel(principal, channel);
  // what is said of one person is that person's, whoever may read it
  if (channel === 'private' || kind === 'preference' || scope === 'user') requireSubject(principal, user_id ?? principal.subject);
  if (isAdmin(principal)) return;
  if (isGuarded(memory)) throw new Problem('forbidden', `Only admins can change a ${kind} with the scope "${scope}".`);
  // a task is there to be moved by whoever works on it
  if (trust === 'approved' && channel !== 'private' && kind !== 'task')
    throw new Problem('forbidden', 'Only admins can change a memory that an admin created or approved.');
}

/** The right to put words of that actor in the place of a memory that the caller sees. */
export function assertMayReplace(principal: Principal, old: Memory, actor: Actor): void {
  assertMayChange(principal, old);
  if (actor.type === 'tool' && BINDING.includes(old.kind))
    throw new Problem('forbidden', `A tool cannot replace a ${old.kind}: statements of tools are never binding.`);
  // or the same words would be back at once
  if (!isAdmin(principal) && old.marks.some((mark) => mark === 'quarantined' || mark === 'blocked'))
    throw new Problem(
      'conflict',
      'The memory is quarantined or blocked by an edit; an admin must replace it or revert the edit.',
    );
}
