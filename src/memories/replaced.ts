import { actingFor, type Caller, type Principal, sightById } from '../auth/index.ts';
import { Problem } from '../http/problem.ts';
import { type Actor, assertMayReplace } from './rights.ts';
import type { Memory } from './schemas.ts';
import { readMeant } from './sql.ts';

/** What a write says is to be replaced, by the id of a memory, an event or a passage, and whose words do it. */
export interface Replacing {
  ref: string;
  actor: Actor;
  /** The subject of what replaces it. */
  subject: string | undefined;
}

const mayRead = ({ reading, subject }: Principal, { channel, user_id }: Memory): boolean =>
  reading !== 'one' || channel !== 'private' || user_id === subject;

/** The memories that are to be replaced, by what names them. Each must be the caller's to replace. */
export async function findReplaced(caller: Caller, replacing: Replacing[]): Promise<Map<string, Memory>> {
  if (replacing.length === 0) return new Map();
  const { tenant, principal } = caller;
  const refs = replacing.map(({ ref }) => ref);
  const meant = await tenant.read((db) => readMeant(db, tenant.id, refs, sightById(principal)));
  for (const { ref, actor, subject } of replacing) {
    const old = meant.get(ref);
    const acting = actingFor(caller, subject).principal;
    if (!old || !mayRead(acting, old)) throw new Problem('conflict', 'The item to be superseded is not a memory.');
    assertMayReplace(acting, old, actor);
  }
  return meant;
}
