import { byIdValues, shownById, type Visibility, visibilityValues, visible } from '../auth/index.ts';
import { bindNamed } from '../db/named_parameters.ts';
import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import { Problem } from '../http/problem.ts';
import { faultOf } from '../readable.ts';
import type { Sealed } from '../seal.ts';
import { timeNow } from '../time.ts';
import type { AsOf, ListQuery, Memory } from './schemas.ts';
import { type MemoryRecord, toMemory } from './view.ts';

// Statements about memories. A memory as of a version consists of its row, the row of the version and the event with its content.

export const columns = `m.memory_id, m.kind, m.scope, m.user_id, m.agent_id, m.session_id, m.project_id, m.channel, m.importance, m.pinned, m.repeats, m.marks,
  m.created_at, v.version, v.seq, v.status, le.event_id, e.kind as event_kind, o.edit_ids, o.blocked_in,
  case when o.content is null or o.content ? 'withheld' then e.content else o.content end as content,
  coalesce(o.content ? 'withheld', false) as retracted, e.sensitivity, e.redactions, e.tags, e.metadata, e.actor_type, e.actor_id, trust_of(e.actor_type) as trust,
  case when v.status = 'superseded' then m.superseded_by end as superseded_by,
  (select old.memory_id from memories old
   where old.tenant_id = m.tenant_id and old.superseded_by = m.memory_id order by old.last_seq desc limit 1) as supersedes,
  le.created_at as updated_at, cited.refs, cited.ref_count, cited.grounded, cited.unsourced`;

const momentOf = ({ as_of }: AsOf): string => as_of ?? timeNow();

// `offset 0` forces a look-up by the whole key for each row: without statistics of a young table, the planner would read all events of the
// tenant for one memory.

// The version as of the requested seq and time: the newest of those that had been written and had occurred by then.
const VERSION = `select v.version, v.seq, v.content_seq, v.status
  from memory_versions v
  where v.tenant_id = m.tenant_id and v.memory_id = m.memory_id
  and ($5::bigint is null or v.seq <= $5)
  and ($6::timestamptz is null or $6 >= (select at.occurred_at from events at where at.tenant_id = v.tenant_id and at.seq = v.seq))
  order by v.version desc
  limit 1`;
// The content with its current edits applied, also for a requested time in the past.
export const CONTENT = `cross join lateral (select * from events e where e.tenant_id = m.tenant_id and e.seq = v.content_seq offset 0) e
  left join lateral (select * from overlays o where o.tenant_id = m.tenant_id and o.seq = v.content_seq offset 0) o on true
  cross join lateral (select le.event_id, le.created_at from events le where le.tenant_id = m.tenant_id and le.seq = v.seq offset 0) le`;
// The sources as of the requested time, as of a version, and now.
const CITED = 'cross join lateral grounding(m.tenant_id, m.memory_id, m.kind, v.content_seq, 256, $5, $6) cited';
const CITED_THEN = 'cross join lateral grounding(m.tenant_id, m.memory_id, m.kind, v.content_seq, 256, v.seq) cited';
export const CITED_NOW = 'cross join lateral grounding(m.tenant_id, m.memory_id, m.kind, v.content_seq, 256) cited';

/** Reads a memory if the caller may see it. */
export async function readMemory(
  db: Db,
  tenant: string,
  memory_id: string,
  visibility: Visibility,
  asOf: AsOf = {},
): Promise<Memory | undefined> {
  const [memory] = await readRows(db, tenant, [memory_id], visibility, asOf);
  const reason = memory && faultOf(memory);
  if (reason !== undefined) throw new Problem('unreadable', `The memory ${memory_id} cannot be read (${reason}).`);
  return memory;
}

/** Reads the memories that the caller may see, by id and in no order. Skips unreadable rows. */
export async function readMemories(db: Db, tenant: string, ids: string[], visibility: Visibility): Promise<Memory[]> {
  return (await readRows(db, tenant, ids, visibility, {})).filter((memory) => faultOf(memory) === undefined);
}

/**
 * The ids are a subquery, so that one generic plan serves any number of ids and is cached: planning takes longer than
 * reading.
 */
async function readRows(db: Db, tenant: string, ids: string[], visibility: Visibility, asOf: AsOf): Promise<Memory[]> {
  const rows = await db.rows<MemoryRecord>(
    `select ${columns}
    from (select distinct id from unnest((select $7::text[])) id) wanted
    cross join lateral (select * from memories m where m.tenant_id = $1 and m.memory_id = wanted.id offset 0) m
    cross join lateral (${VERSION}) v
    ${CONTENT}
    ${CITED}
    where ${visible(2, 'e.')} and ${shownById(8)}`,
    [tenant, ...visibilityValues(visibility), asOf.as_of_seq, asOf.as_of, ids, ...byIdValues(visibility)],
    'read_memories',
  );
  return rows.map((row) => toMemory(db, row, momentOf(asOf)));
}

/** Returns the memories that ids of memories, events or passages refer to, by ref. */
export async function readReferenced(
  db: Db,
  tenant: string,
  refs: string[],
  visibility: Visibility,
): Promise<Map<string, Memory>> {
  const resolved = await db.rows<{ ref: string; memory_id: string }>(
    'select r.ref, m.id as memory_id from unnest($2::text[]) r (ref) cross join lateral memory_of($1, r.ref) m (id) where m.id is not null',
    [tenant, refs],
  );
  const ids = resolved.map(({ memory_id }) => memory_id);
  const byId = new Map((await readMemories(db, tenant, ids, visibility)).map((memory) => [memory.memory_id, memory]));
  return new Map(resolved.flatMap(({ ref, memory_id }) => (byId.has(memory_id) ? [[ref, byId.get(memory_id)!]] : [])));
}

/** Reads the sources of a version, newest first; responses show only 256. */
export async function readRefs(db: Db, tenant: string, { memory_id, version }: Memory, limit: number): Promise<string[]> {
  const row = await db.row<{ refs: string[] }>(
    `select cited.refs
     from memory_versions v cross join lateral grounding(v.tenant_id, v.memory_id, 'decision', v.content_seq, $4, v.seq) cited
     where v.tenant_id = $1 and v.memory_id = $2 and v.version = $3`,
    [tenant, memory_id, version, limit],
  );
  return row?.refs ?? [];
}

/** Reads the encrypted original of a memory whose secrets were redacted. */
export async function readSealed(db: Db, tenant: string, memory_id: string): Promise<Sealed | undefined> {
  const row = await db.row<{ sealed: Sealed | null }>(
    `select e.content -> 'sealed' as sealed
     from memories m join events e on e.tenant_id = m.tenant_id and e.seq = m.content_seq
     where m.tenant_id = $1 and m.memory_id = $2`,
    [tenant, memory_id],
  );
  return row?.sealed ?? undefined;
}

/** Reads the current status of a memory, regardless of what the caller may see. */
export async function readStatus(db: Db, tenant: string, memory_id: string): Promise<string | undefined> {
  const row = await db.row<{ status: string }>('select status from memories where tenant_id = $1 and memory_id = $2', [
    tenant,
    memory_id,
  ]);
  return row?.status;
}

/** A page ends at its limit or at this size, whichever comes first. */
const PAGE_BYTES = 4 * 1024 * 1024;

export interface MemoryPage {
  /** Unreadable rows are marked. */
  memories: Memory[];
  /** Where the next page begins: the last memory of this page, or where the scan stopped. */
  next: string | undefined;
  /** Where the scan stopped, if more memories follow. */
  scanned?: string | undefined;
}

/** Maximum number of memories that one request examines. */
const MAX_SCANNED = 10_000;

/** The filters of a list. Only admins see the earlier versions of a deleted memory. */
const FILTERS = `($kind::text is null or m.kind = $kind)
        and ($scope::text is null or m.scope = $scope)
        and ($status::text = 'any' or now_is.status = $status)
        and ($status::text <> 'active' or m.status = 'active' or $5::bigint is not null or $6::timestamptz is not null)
        and ($session_id::text is null or m.session_id = $session_id)
        and ($about_user_id::text is null or m.user_id = $about_user_id)
        and ($agent_id::text is null or m.agent_id = $agent_id)
        and ($project_id::text is null or m.project_id = $project_id)
        and ($tag::text is null or $tag = any (e.tags))
        and ($pinned::boolean is null or case when e.kind like 'memory.%' then e.content -> 'pinned' = 'true' else m.pinned end = $pinned)
        and ($since::timestamptz is null or m.created_at >= $since)
        and ($until::timestamptz is null or m.created_at < $until)
        and is_shown_in(o.blocked_in, $channel::text)
        and ($admin::boolean or m.status <> 'deleted' or v.status = 'deleted')
        and ($filter::jsonb is null or memory_matches(m, e, $filter))`;

const NO_FILTERS = {
  kind: undefined,
  scope: undefined,
  session_id: undefined,
  about_user_id: undefined,
  agent_id: undefined,
  project_id: undefined,
  tag: undefined,
  pinned: undefined,
  since: undefined,
  until: undefined,
  filter: undefined,
};

/** Lists memories by id, which is the order of their creation. Unnamed, so that each combination of filters is planned on its own. */
export async function listMemories(
  db: Db,
  tenant: string,
  visibility: Visibility,
  query: ListQuery & { admin: boolean },
  after?: string,
): Promise<MemoryPage> {
  const { order } = query;
  const statement = bindNamed(
    `select ${columns}, page.listed
    from (
      select l.*, sum(l.byte_count) over (order by l.memory_id ${order === 'asc' ? 'asc' : 'desc'}) - l.byte_count as before, count(*) over () as listed
      from (
        select m.memory_id, v.version, v.seq, v.content_seq, v.status, e.byte_count
        from (
          select m.* from memories m where m.tenant_id = $1 and ($after::text is null or m.memory_id ${order === 'asc' ? '>' : '<'} $after)
          order by m.memory_id ${order === 'asc' ? 'asc' : 'desc'} limit ${MAX_SCANNED} -- bounds a filter that matches nothing
        ) m
        cross join lateral (${VERSION}) v
        join events e on e.tenant_id = m.tenant_id and e.seq = v.content_seq
        left join overlays o on o.tenant_id = m.tenant_id and o.seq = v.content_seq
        cross join lateral (
          select case
            when v.status = 'active' and e.kind like 'memory.%' and time_of(e.content ->> 'expires_at') <= coalesce($6::timestamptz, now()) then 'expired'
            else v.status end as status
        ) now_is
        where m.channel = any ($2::text[])
        and ${visible(2, 'e.')}
        and ${FILTERS}
        order by m.memory_id ${order === 'asc' ? 'asc' : 'desc'}
        limit $limit
      ) l
    ) page
    cross join lateral (select * from memories m where m.tenant_id = $1 and m.memory_id = page.memory_id offset 0) m
    cross join lateral (select page.version, page.seq, page.content_seq, page.status) v
    ${CONTENT}
    ${CITED}
    where page.before < $page_bytes
    order by m.memory_id ${order === 'asc' ? 'asc' : 'desc'}`,
    { ...NO_FILTERS, ...query, after, limit: query.limit + 1, page_bytes: PAGE_BYTES },
    [tenant, ...visibilityValues(visibility), query.as_of_seq, query.as_of],
  );
  const rows = await db.rows<MemoryRecord & { listed: number }>(...statement);
  const memories = rows.slice(0, query.limit).map((row) => toMemory(db, row, momentOf(query)));
  if (rows.length > query.limit || rows.length < (rows[0]?.listed ?? 0)) return { memories, next: memories.at(-1)!.memory_id };
  const stop = await findScanEnd(db, tenant, order, after);
  return { memories, next: stop, scanned: stop };
}

/** Returns where the scan of listMemories stopped, or undefined if it reached the end. */
async function findScanEnd(db: Db, tenant: string, order: ListQuery['order'], after?: string): Promise<string | undefined> {
  const row = await db.row<{ memory_id: string }>(
    `select m.memory_id from memories m
    where m.tenant_id = $1 and ($2::text is null or m.memory_id ${order === 'asc' ? '>' : '<'} $2)
    order by m.memory_id ${order === 'asc' ? 'asc' : 'desc'} offset ${MAX_SCANNED} - 1 limit 1`,
    [tenant, after],
  );
  return row?.memory_id;
}

/** Lists the versions after `after`, oldest first. */
export async function listVersions(
  db: Db,
  tenant: string,
  memory_id: string,
  visibility: Visibility,
  { after, limit }: { after: number; limit: number },
): Promise<Memory[]> {
  const rows = await db.rows<MemoryRecord>(
    `select ${columns}
    from memories m
    join memory_versions v on v.tenant_id = m.tenant_id and v.memory_id = m.memory_id
    ${CONTENT}
    ${CITED_THEN}
    where m.tenant_id = $1 and m.memory_id = $5 and v.version > $6 and ${visible(2, 'e.')} and ${shownById(8)}
    order by v.version
    limit $7`,
    [tenant, ...visibilityValues(visibility), memory_id, after, limit, ...byIdValues(visibility)],
    'list_memory_versions',
  );
  return rows.map((row) => toMemory(db, row));
}

/** Expires memories that are past their `expires_at`. Reads treat them as expired already. */
export const sweepMemories = async (tenant: Tenant, limit: number): Promise<number> => {
  const [row] = await tenant.call<{ count: number }>('select expire_memories($1, $2) as count', [tenant.id, limit]);
  return row!.count;
};

export interface VersionRef {
  memory_id: string;
  seq: number;
}

/** Lists the memories that the `count` events from `seq` on have created, updated or repeated. */
export const readVersionsBySeq = (db: Db, tenant: string, seq: number, count: number): Promise<VersionRef[]> =>
  db.rows(
    `select memory_id, seq from memory_versions
     where tenant_id = $1 and seq >= $2 and seq < $2 + $3::bigint and status <> 'superseded'
     order by seq`,
    [tenant, seq, count],
    'read_made',
  );
