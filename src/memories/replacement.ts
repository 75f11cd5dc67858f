import { actingFor, type Caller, type Principal, visibilityById } from '../auth/index.ts';
import { Problem } from '../http/problem.ts';
import { type Actor, assertMayReplace } from './rights.ts';
import type { Memory } from './schemas.ts';
import { readReferenced } from './sql.ts';

/** A memory to be replaced, by the id of a memory, event or passage, and the actor whose text replaces it. */
export interface Replacement {
  ref: string;
  actor: Actor;
  /** The subject of the replacement. */
  subject: string | undefined;
}

const mayRead = ({ reading, subject }: Principal, { channel, user_id }: Memory): boolean =>
  reading !== 'one' || channel !== 'private' || user_id === subject;

/** Returns the memories to be replaced, by ref. Throws unless the caller may replace each. */
export async function findReplaced(caller: Caller, replacements: Replacement[]): Promise<Map<string, Memory>> {
  if (replacements.length === 0) return new Map();
  const { tenant, principal } = caller;
  const refs = replacements.map(({ ref }) => ref);
  const replaced = await tenant.read((db) => readReferenced(db, tenant.id, refs, visibilityById(principal)));
  for (const { ref, actor, subject } of replacements) {
    const old = replaced.get(ref);
    const acting = actingFor(caller, subject).principal;
    if (!old || !mayRead(acting, old))
      throw new Problem('conflict', 'The item to supersede does not exist, or it is not a memory.');
    assertMayReplace(acting, old, actor);
  }
  return replaced;
}
