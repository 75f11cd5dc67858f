import { byIdValues, shownById, type Visibility, visibilityValues, visible } from '../auth/index.ts';
import type { Db } from '../db/query.ts';
import type { Memory } from './schemas.ts';
import { CITED_NOW, CONTENT, columns } from './sql.ts';
import { type MemoryRecord, toMemory } from './view.ts';

/**
 * Reads the chain of supersessions that a memory belongs to, from the first memory to the current one. A memory that superseded
 * several follows all of them.
 */
export async function readChain(
  db: Db,
  tenant: string,
  memory_id: string,
  visibility: Visibility,
  { after, limit }: { after: number; limit: number },
): Promise<Memory[]> {
  const rows = await db.rows<MemoryRecord>(
    `with recursive newer as (
      select m.memory_id, m.superseded_by from memories m where m.tenant_id = $1 and m.memory_id = $5
      -- union removes duplicates, so the recursion ends even if an imported chain is a cycle; each memory has one successor, so the
      -- way back from the end can only return to that end
      union
      select m.memory_id, m.superseded_by
      from newer n join memories m on m.tenant_id = $1 and m.memory_id = n.superseded_by
    ),
    ending as (
      select coalesce((select n.memory_id from newer n where n.superseded_by is null), $5) as memory_id
    ),
    chain as (
      select l.memory_id, 0 as step from ending l
      union all
      select m.memory_id, c.step + 1
      from chain c join memories m on m.tenant_id = $1 and m.superseded_by = c.memory_id
      where m.memory_id <> (select l.memory_id from ending l)
    )
    select ${columns}
    from chain c
    cross join lateral (select * from memories m where m.tenant_id = $1 and m.memory_id = c.memory_id offset 0) m
    cross join lateral (
      select * from memory_versions v where v.tenant_id = m.tenant_id and v.memory_id = m.memory_id and v.version = m.version offset 0) v
    ${CONTENT}
    ${CITED_NOW}
    where ${visible(2, 'e.')} and ${shownById(8)}
    order by c.step desc, m.memory_id
    offset $6
    limit $7`,
    [tenant, ...visibilityValues(visibility), memory_id, after, limit, ...byIdValues(visibility)],
  );
  return rows.map((row) => toMemory(db, row));
}
