import { type Caller, type Sight, sightById, sightValues, visible } from '../auth/index.ts';
import type { Db } from '../db/query.ts';
import { Problem } from '../http/problem.ts';
import { type Actor, assertMayReplace } from './rights.ts';
import type { Memory } from './schemas.ts';
import { readMeant } from './sql.ts';

// What is cited must be there: ids of ours name what their author may see. To cite another tenant's is to cite nothing.

const MAX_REFS_CHECKED = 10_000;
const ownId = /^(?:evt|chk|art|mem|cap|edt|job|ctx)_/;

/** Ids of a request, each with the pointer to where it stands. */
export type Cited = Map<string, string>;

/** Adds those that look like ids of ours. */
export function cite(cited: Cited, ids: readonly string[], pointer: string): void {
  ids.forEach((id, i) => ownId.test(id) && cited.set(id, `${pointer}/${i}`));
}

export async function refuseDangling({ tenant, principal }: Caller, cited: Cited): Promise<void> {
  if (cited.size === 0) return;
  if (cited.size > MAX_REFS_CHECKED) throw new Problem('validation', `A request may cite at most ${MAX_REFS_CHECKED} ids.`);
  const dangling = await tenant.read((db) => findDangling(db, tenant.id, [...cited.keys()], sightById(principal)));
  if (dangling.length === 0) return;
  throw new Problem('not-found', `It cites ${JSON.stringify(dangling[0])}, which does not exist.`, {
    errors: dangling.slice(0, 20).map((id) => ({ pointer: cited.get(id)!, detail: 'must name something that exists' })),
  });
}

/** Those of the ids that name nothing the caller may see: one `not exists` for each place where ids of ours are kept. */
export async function findDangling(db: Db, tenant: string, ids: string[], sight: Sight): Promise<string[]> {
  const rows = await db.rows<{ id: string }>(
    `select i.id
    from unnest($5::text[]) as i (id)
    where not exists (
      select from events e
      where e.tenant_id = $1
      and e.event_id = case when i.id ~ '^chk_' then 'evt_' || split_part(substr(i.id, 5), '_', 1) else i.id end
      and case when i.id !~ '^chk_' then true when i.id !~ '^chk_[^_]+_[0-9]{1,4}$' then false else split_part(i.id, '_', 3)::int < e.chunk_count end
      and ${visible(2, 'e.')})
    and not exists (
      select from artifacts a
      where a.tenant_id = $1 and a.artifact_id = i.id and a.event_id is not null and ${visible(2, 'a.')})
    and not exists (
      select from memories m
      where m.tenant_id = $1 and m.memory_id = i.id and ${visible(2, 'm.')})`,
    [tenant, ...sightValues(sight), ids],
  );
  return rows.map((row) => row.id);
}

/** What a write says is to be replaced, by the id of a memory, an event or a passage, and whose words do it. */
export interface Replacing {
  ref: string;
  actor: Actor;
}

/** The memories that are to be replaced, by what names them. Each must be the caller's to replace. */
export async function findReplaced({ tenant, principal }: Caller, replacing: Replacing[]): Promise<Map<string, Memory>> {
  if (replacing.length === 0) return new Map();
  const refs = replacing.map(({ ref }) => ref);
  const meant = await tenant.read((db) => readMeant(db, tenant.id, refs, sightById(principal)));
  for (const { ref, actor } of replacing) {
    const old = meant.get(ref);
    if (!old) throw new Problem('conflict', 'What is to be superseded is no memory.');
    assertMayReplace(principal, old, actor);
  }
  return meant;
}
