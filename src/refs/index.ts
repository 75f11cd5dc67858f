import { type Caller, coversAllSubjects, type Visibility, visibilityById, visibilityValues, visible } from '../auth/index.ts';
import type { Db } from '../db/query.ts';
import { Problem } from '../http/problem.ts';
import { PREFIX_LENGTH } from '../id.ts';

// Checks that cited ids exist: an id of this service must name an item that the author may see. An id of another tenant does not exist.

const MAX_REFS_CHECKED = 10_000;

/** An id that a request cites, its position in the request, and the subject of the citing item. */
interface Citation {
  id: string;
  pointer: string;
  subject: string | undefined;
}

/** The cited ids of a request, once per subject. */
export type Cited = Map<string, Citation>;

export const citeOne = (cited: Cited, citation: Citation): void =>
  void cited.set(`${citation.id} ${citation.subject ?? ''}`, citation);

export interface RefLimits {
  /** Prefixes that make a ref an id of this service; other refs are free names. */
  citedPrefixes: readonly string[];
}

/** Adds the ids of this service among these refs. */
export function cite(
  cited: Cited,
  ids: readonly string[],
  pointer: string,
  subject: string | undefined,
  { citedPrefixes }: RefLimits,
): void {
  ids.forEach((id, i) => {
    const isInternal = id[PREFIX_LENGTH] === '_' && citedPrefixes.includes(id.slice(0, PREFIX_LENGTH));
    if (isInternal) citeOne(cited, { id, pointer: `${pointer}/${i}`, subject });
  });
}

export async function refuseDangling({ tenant, principal }: Caller, cited: Cited): Promise<void> {
  if (cited.size === 0) return;
  if (cited.size > MAX_REFS_CHECKED) throw new Problem('validation', `A request can cite at most ${MAX_REFS_CHECKED} ids.`);
  const all = [...cited.values()];
  const ids = all.map(({ id }) => id);
  // a key for all subjects may cite for a user only items that the user sees
  const subjects = coversAllSubjects(principal) ? all.map(({ subject }) => subject ?? null) : undefined;
  const dangling = await tenant.read((db) => findDangling(db, tenant.id, ids, visibilityById(principal), subjects));
  if (dangling.length === 0) return;
  throw new Problem('not-found', `The request cites ${JSON.stringify(ids[dangling[0]!])}, which does not exist.`, {
    errors: dangling.slice(0, 20).map((at) => ({ pointer: all[at]!.pointer, detail: 'must be the id of an existing item' })),
  });
}

/** A private item may be cited only for its own subject; a citation without a subject may name any item that the caller sees. */
const ownIn = (of: string) => `(i.subject is null or ${of}.channel <> 'private' or ${of}.user_id = i.subject)`;
const [OWN_EVENT, OWN_ARTIFACT, OWN_MEMORY] = [ownIn('e'), ownIn('a'), ownIn('m')];

/**
 * Returns the indexes of the ids that name no item visible to the caller, with one `not exists` per table that has ids.
 * `subjects`: the subject of each citing item.
 */
async function findDangling(
  db: Db,
  tenant: string,
  ids: string[],
  visibility: Visibility,
  subjects: (string | null)[] = ids.map(() => null),
): Promise<number[]> {
  const rows = await db.rows<{ index: number }>(
    `select i.ordinal::int - 1 as index
    from (
      select u.id, u.subject, u.ordinal, event_of(u.id) as event_id
      from unnest($5::text[], $6::text[]) with ordinality as u (id, subject, ordinal)
      offset 0
    ) i
    where not exists (
      select from events e
      where e.tenant_id = $1 and e.event_id = i.event_id
      and has_passage(i.id, e.chunk_count)
      and ${visible(2, 'e.')} and ${OWN_EVENT})
    and not exists (
      select from artifacts a
      where a.tenant_id = $1 and a.artifact_id = i.id and a.event_id is not null and ${visible(2, 'a.')} and ${OWN_ARTIFACT})
    and not exists (
      select from memories m
      where m.tenant_id = $1 and m.memory_id = i.id and ${visible(2, 'm.')} and ${OWN_MEMORY})
    order by i.ordinal`,
    [tenant, ...visibilityValues(visibility), ids, subjects],
  );
  return rows.map(({ index }) => index);
}
