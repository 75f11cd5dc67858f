import { type Visibility, visibilityValues, visible } from '../auth/index.ts';
import { bindNamed } from '../db/named_parameters.ts';
import type { Db } from '../db/query.ts';
import type { Filter } from '../filter/index.ts';
import { columns, LIVE, type Moment, type ObjectRow } from './sql.ts';

// Lists and queries of a namespace, now or at an earlier moment. The number of objects that a request scans is bounded: a condition that matches very
// little ends the page with a cursor.

export interface Query {
  namespace: string;
  prefix?: string | undefined;
  tags?: Record<string, string> | undefined;
  contains?: unknown;
  filter?: Filter | undefined;
  /** Objects in the order of `seq` are also in the order of their last change. */
  by: 'key' | 'seq';
  direction: 'asc' | 'desc';
  /** The last key or seq of the previous page. */
  after?: string | number | undefined;
  /** One more than the page, which shows whether another page follows. */
  limit: number;
  /** Undefined: now. */
  moment?: Moment | undefined;
}

export interface QueryResult {
  rows: ObjectRow[];
  /** True if the page ended because of its size. */
  more: boolean;
  /** The key or seq at which the scan ended early; undefined if it covered the rest of the namespace. */
  scanned: string | number | undefined;
}

/** Maximum number of objects that a request scans; lower if the body decides, whose size the clients determine, and for an earlier moment. */
const MAX_SCANNED = 20_000;
const MAX_BODIES_SCANNED = 5_000;
/** Maximum size of the bodies that a request scans, as they are stored. */
const MAX_SCANNED_BYTES = 16 * 1024 * 1024;
/** Maximum size of a page, as it is stored and as it is read, so that a thousand bodies of a megabyte are not read at once. */
const PAGE_BYTES = 4 * 1024 * 1024;
/** If more objects have the tags, the namespace is scanned in the order of the page instead of sorting them all. */
const MAX_TAGGED = 2_000;

// The objects in the range of the page that the caller can see. Others are left out before the bounds of the scan, so that no position names their keys.
const RANGE = `o.namespace = $namespace and ($prefix::text is null or o.key >= $prefix) and ($upper::text is null or o.key < $upper)
  and ($keys::text[] is null or o.key = any ($keys))`;

const CURRENT = `select o.*, coalesce(pg_column_size(o.body), 0) as size from state_objects o
  where o.tenant_id = $1 and ${LIVE} and ${RANGE} and ${visible(2, 'o.')}`;
const PAST = `select a.namespace, a.key, e.content -> 'body' as body, e.content -> 'tags' as tags, o.version, o.seq,
    time_of(e.content ->> 'created_at') as created_at, e.created_at as updated_at, o.expires_at, a.channel, a.user_id, a.agent_id, a.session_id,
    a.project_id, a.sensitivity, e.byte_count as size
  from state_versions_at($1, $namespace, $seq, $at) o
  join state_objects a on a.tenant_id = $1 and a.namespace = o.namespace and a.key = o.key
  join events e on e.tenant_id = $1 and e.seq = o.seq
  where ${RANGE} and ${visible(2, 'a.')}`;

// A compressed body can be a hundred times as long when it is read.
const READ_SIZE = 'case when pg_column_compression(o.body) is null then o.size else octet_length(o.body::text) end';

/** Conditions that are evaluated on the scanned objects. */
const MATCHING = `($tags::jsonb is null or o.tags @> $tags) and ($contains::jsonb is null or coalesce(o.body, 'null') @> $contains)
  and ($filter::jsonb is null or state_matches(o.key, o.version, o.seq, o.created_at, o.updated_at, o.expires_at, o.tags, o.body, $filter))`;

const json = (value: unknown): string | undefined => (value === undefined ? undefined : JSON.stringify(value));

/** Returns the parts of a statement that depend on the order of a query, all of them constants. */
const partsOf = ({ by, direction, moment }: Query) => {
  const KEY = by === 'key' ? 'o.key' : 'o.seq';
  return {
    SOURCE: moment ? PAST : CURRENT,
    KEY,
    ORDER: direction === 'asc' ? `${KEY} asc` : `${KEY} desc`,
    AFTER: by === 'key' ? '$after::text' : '$after::bigint',
    BEYOND: direction === 'asc' ? '>' : '<',
    LAST: direction === 'asc' ? 'max' : 'min',
  };
};

/** Reads a page of the objects that match a query. */
export async function queryObjects(db: Db, tenant: string, visibility: Visibility, query: Query): Promise<QueryResult> {
  const { moment, limit } = query;
  const { SOURCE, KEY, ORDER, AFTER, BEYOND } = partsOf(query);
  const readsBodies = query.contains !== undefined || query.filter !== undefined || moment !== undefined;
  const values = {
    ...{ namespace: query.namespace, prefix: query.prefix, upper: query.prefix && successorOf(query.prefix), after: query.after },
    ...{ seq: moment?.seq, at: moment?.at, keys: moment ? undefined : await findTagged(db, query) },
    ...{ tags: json(query.tags), contains: json(query.contains), filter: query.filter && json(query.filter) },
    ...{ scan: readsBodies ? MAX_BODIES_SCANNED : MAX_SCANNED, scan_bytes: MAX_SCANNED_BYTES, page_bytes: PAGE_BYTES, limit },
  };
  const rows = await db.rows<ObjectRow & { listed: number }>(
    ...bindNamed(
      `with source as (
         ${SOURCE} and (${AFTER} is null or ${KEY} ${BEYOND} ${AFTER})
         order by ${ORDER}
         limit $scan::bigint
       ),
       scanned as (select o.*, sum(o.size) over (order by ${ORDER}) - o.size as before from source o),
       matching as (
         select o.* from scanned o
         where o.before < $scan_bytes and ${MATCHING}
         order by ${ORDER}
         limit $limit
       ),
       listed as (select o.*, sum(o.size) over (order by ${ORDER}) - o.size as page_before, count(*) over () as listed from matching o),
       sized as (select o.*, case when o.page_before < $page_bytes then ${READ_SIZE} end as read_size from listed o),
       page as (select o.*, sum(o.read_size) over (order by ${ORDER}) - o.read_size as read_before from sized o)
       select ${columns}, o.listed from page o
       where o.read_before < $page_bytes
       order by ${ORDER}`,
      values,
      [tenant, ...visibilityValues(visibility)],
    ),
  );
  const more = rows.length > 0 && rows.length < rows[0]!.listed;
  const scanned =
    more || rows.length === limit ? undefined : await findScanEnd(db, [tenant, ...visibilityValues(visibility)], query, values);
  return { rows, more, scanned };
}

/** Returns the key or seq at which the scan of queryObjects ended; undefined if it reached the end of the namespace. */
async function findScanEnd(db: Db, reader: unknown[], query: Query, values: Record<string, unknown>) {
  const { SOURCE, KEY, ORDER, AFTER, BEYOND, LAST } = partsOf(query);
  const end = await db.row<{ n: number; cut: boolean | null; last: string | number }>(
    ...bindNamed(
      `with source as (
         ${SOURCE} and (${AFTER} is null or ${KEY} ${BEYOND} ${AFTER})
         order by ${ORDER}
         limit $scan::bigint
       ),
       scanned as (select o.key, o.seq, sum(o.size) over (order by ${ORDER}) - o.size as before from source o)
       select count(*) as n, bool_or(o.before >= $scan_bytes) as cut, ${LAST}(${KEY}) filter (where o.before < $scan_bytes) as last from scanned o`,
      values,
      reader,
    ),
  );
  return end && (end.cut || end.n === values.scan) ? end.last : undefined;
}

/** Returns the keys of the objects that have the tags; undefined if there are no tags or too many objects with their hashes. */
async function findTagged(db: Db, { namespace, tags }: Query): Promise<string[] | undefined> {
  if (!tags || Object.keys(tags).length === 0) return undefined;
  const rows = await db.rows<{ key: string | null }>('select key from tagged_keys($1, $2, $3) key', [
    namespace,
    JSON.stringify(tags),
    MAX_TAGGED + 1,
  ]);
  return rows.length > MAX_TAGGED ? undefined : rows.flatMap(({ key }) => key ?? []);
}

const LAST_CODE_POINT = 0x10ffff;

/** Returns the first text, in the order of code points, after all texts that begin with the prefix; undefined if there is none. */
function successorOf(prefix: string): string | undefined {
  const points = [...prefix].map((one) => one.codePointAt(0)!);
  while (points.at(-1) === LAST_CODE_POINT) points.pop();
  const last = points.pop();
  if (last === undefined) return undefined;
  // no text contains half of a surrogate pair
  return String.fromCodePoint(...points, last === 0xd7ff ? 0xe000 : last + 1);
}
