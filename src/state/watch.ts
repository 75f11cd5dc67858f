import { onBehalf, type Visibility, visibilityValues, visible } from '../auth/index.ts';
import { bindNamed } from '../db/named_parameters.ts';
import type { Db } from '../db/query.ts';
import type { Feed, FeedRange, Message } from '../follow/index.ts';
import { visibilityOfLists } from './audience.ts';
import type { ListQuery } from './schemas.ts';
import { type ObjectRow, objectOf } from './sql.ts';

// Follows the changes of a namespace. Each is an event of the log, so the streams of state resume by the same seqs as those of events.

/** A change that was committed. The fields of the object are null unless it is a `put`. */
interface ChangeRow extends ObjectRow {
  change: 'put' | 'deleted' | 'expired';
  listed: number;
}

/** The changes of the objects in a namespace that match a query before or after the change. */
export const stateFeed = (namespace: string, query: ListQuery): Feed => ({
  key: ['state', namespace, query],
  filtered: false,
  visibilityOf: (caller) => visibilityOfLists(onBehalf(caller, query).principal),
  read: async (db, tenant, visibility, range) => {
    const rows = await listChanges(db, tenant.id, visibility, { namespace, ...query }, range);
    return { messages: rows.map(messageOf), more: rows.length > 0 && rows.length < rows[0]!.listed };
  },
});

const types = { put: 'put', deleted: 'delete', expired: 'expired' } as const;

function messageOf({ change, ...row }: ChangeRow): Message {
  const { namespace, key, version, seq } = row;
  const data = change === 'put' ? objectOf(row) : { namespace, key, version, commit_seq: seq };
  return { seq, event: types[change], data, type: types[change], at: row.updated_at };
}

/**
 * Lists the changes in a part of the log. The tags before a change are those of the version before it: its event exists, because a trim keeps
 * the versions that were current at the new beginning of the log. Erased versions are left out, and nothing matches them.
 */
const listChanges = (
  db: Db,
  tenant: string,
  visibility: Visibility,
  { namespace, prefix, tag }: Pick<ListQuery, 'prefix' | 'tag'> & { namespace: string },
  range: FeedRange,
) =>
  db.rows<ChangeRow>(
    ...bindNamed(
      // materialized: only the index on seq bounds the cost, whatever else is in the namespace
      `with changed as materialized (
         select v.* from state_versions v
         where v.tenant_id = $1 and v.seq > $after and v.seq <= $upto and v.change <> 'erased'
       )
       select l.*
       from (
         select m.*, sum(m.byte_count) over (order by m.seq) - m.byte_count as before, count(*) over () as listed
         from (
           select v.seq, v.change, v.namespace, v.key, v.version, e.content -> 'body' as body, e.content -> 'tags' as tags,
             time_of(e.content ->> 'created_at') as created_at, e.created_at as updated_at, v.expires_at,
             e.channel, e.user_id, e.agent_id, nullif(e.session_id, 'state') as session_id, e.project_id, e.byte_count
           from changed v
           join events e on e.tenant_id = $1 and e.seq = v.seq
           left join state_versions p
             on p.tenant_id = $1 and p.namespace = v.namespace and p.key = v.key and p.version = v.version - 1 and p.change = 'put'
           left join events b on b.tenant_id = $1 and b.seq = p.seq
           where v.namespace = $namespace and ($prefix::text is null or starts_with(v.key, $prefix)) and ${visible(2, 'e.')}
             and ($tags::jsonb is null or e.content -> 'tags' @> $tags or b.content -> 'tags' @> $tags)
           order by v.seq
           limit $limit
         ) m
       ) l
       where l.before < $page_bytes
       order by l.seq`,
      { ...range, namespace, prefix, tags: tag && JSON.stringify(Object.fromEntries(tag)) },
      [tenant, ...visibilityValues(visibility)],
    ),
  );
