import type { Tenant } from '../db/tenant.ts';
import { faultOf } from '../readable.ts';
import { type MemoryRecord, toMemory } from './view.ts';

/** Finds the unreadable memories among the next ones after an id. Their sources are not read. */
export async function findUnreadableMemories(
  tenant: Tenant,
  after: string,
  limit: number,
): Promise<{ checked: number; unreadable: { memory_id: string; reason: string }[]; last: string | undefined }> {
  const rows = await tenant.read((db) =>
    db.rows<MemoryRecord>(
      `select m.memory_id, m.kind, m.scope, m.user_id, m.agent_id, m.session_id, m.project_id, m.channel, m.importance, m.pinned, m.repeats,
         m.marks, m.created_at, m.updated_at, m.version, m.last_seq as seq, m.status, m.superseded_by, null as supersedes, m.valid_from,
         m.valid_to, m.expires_at, e.event_id, e.kind as event_kind, e.content, e.sensitivity, e.redactions, e.tags, e.metadata, e.actor_type, e.actor_id,
         trust_of(e.actor_type) as trust,
         null as edit_ids, null as blocked_in, false as retracted, '{}'::text[] as refs, 0 as ref_count, true as grounded
       from memories m
       cross join lateral (select * from events e where e.tenant_id = m.tenant_id and e.seq = m.content_seq offset 0) e
       where m.tenant_id = $1 and m.memory_id > $2
       order by m.memory_id
       limit $3`,
      [tenant.id, after, limit],
    ),
  );
  const unreadable = rows.flatMap((row) => {
    const reason = faultOf(toMemory(tenant, row));
    return reason === undefined ? [] : { memory_id: row.memory_id, reason };
  });
  return { checked: rows.length, unreadable, last: rows.length === limit ? rows.at(-1)!.memory_id : undefined };
}
