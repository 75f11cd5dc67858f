import type { Tenant } from '../db/tenant.ts';
import { EVENT_SHAPE, type EventRecord } from './sql.ts';

interface UnreadableEvent {
  seq: number;
  event_id: string;
  kind: string;
  reason: string;
}

/**
 * Finds the events of a range that are unreadable for everybody, without fetching their content. PostgreSQL selects candidates, of which there are
 * usually none; the rule of the reader (`faultOf`) decides.
 */
export async function findUnreadable(tenant: Tenant, from: number, to: number): Promise<UnreadableEvent[]> {
  const rows = await tenant.read((db) =>
    db.rows<EventRecord>(
      `select e.seq, e.event_id, e.kind, e.tags, e.refs, e.occurred_at, e.created_at,
         case when jsonb_typeof(e.content) = 'object' then '{}' else e.content end as content,
         case when jsonb_typeof(e.metadata) = 'object' then '{}' else e.metadata end as metadata,
         case when jsonb_typeof(o.content) = 'object' then '{}' else o.content end as edited
       from events e left join overlays o on o.tenant_id = e.tenant_id and o.seq = e.seq
       where e.tenant_id = $1 and e.seq between $2 and $3
       and (jsonb_typeof(e.content) <> 'object' or jsonb_typeof(e.metadata) <> 'object' or jsonb_typeof(o.content) <> 'object'
         or e.occurred_at not between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
         or e.created_at not between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
         -- arrays with several dimensions, for which array_position fails, or with a null element
         or case when array_ndims(e.tags) > 1 then true else array_position(e.tags, null) is not null end
         or case when array_ndims(e.refs) > 1 then true else array_position(e.refs, null) is not null end)
       order by e.seq`,
      [tenant.id, from, to],
    ),
  );
  return rows.flatMap((row) => {
    const reason = tenant.faultOf(row, EVENT_SHAPE);
    return reason === undefined ? [] : { seq: row.seq, event_id: row.event_id, kind: row.kind, reason };
  });
}
