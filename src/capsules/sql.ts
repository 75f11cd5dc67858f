import {
  type Channel,
  isAdmin,
  type Principal,
  type Visibility,
  visibilityById,
  visibilityValues,
  visible,
} from '../auth/index.ts';
import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import { parseChunkId } from '../passages/index.ts';
import type { MemoryDetails } from '../search/index.ts';
import type { CapsuleList } from './schemas.ts';

export interface CapsuleRow {
  capsule_id: string;
  seq: number;
  status: 'active' | 'revoked' | 'expired';
  /** Null if the content of the event was erased. */
  title: string | null;
  risks: string[] | null;
  user_id: string | null;
  agent_id: string | null;
  project_id: string | null;
  channel: Channel;
  tags: string[];
  for_all: boolean;
  audience_users: string[];
  audience_agents: string[];
  items: string[];
  item_channels: Channel[];
  item_sensitivities: string[];
  created_at: string;
  expires_at: string;
  revoked_at: string | null;
  /** True if the reader is the author, acts for the author, or is an admin. */
  owned: boolean;
}

// Parameters from $2 on: the subjects for which the credential acts (null: all), its agent names, the channels it sees, whether it is an
// admin, and the id of the credential.
const OWNED = `($5::boolean or $2::text[] is null or c.user_id = any ($2))`;
const ADDRESSED = `(c.for_all or $2::text[] is null or c.audience_users && $2 or c.audience_agents && $3::text[] or (select attested_agent($1, $6)) = any (c.audience_agents))`;
const STATUS = `case when c.revoked_at is not null then 'revoked' when c.expires_at <= now() then 'expired' else 'active' end`;
const READABLE = `c.channel = any ($4::text[]) and (${OWNED} or (${ADDRESSED} and c.revoked_at is null and c.expires_at > now()))`;
const columns = `c.capsule_id, c.seq, ${STATUS} as status, e.content ->> 'title' as title, e.content -> 'risks' as risks, c.user_id, c.agent_id,
  c.project_id, c.channel, c.tags, c.for_all, c.audience_users, c.audience_agents, c.items, c.item_channels, c.item_sensitivities,
  c.created_at, c.expires_at, c.revoked_at, ${OWNED} as owned`;

/**
 * Returns the agent names of a credential that need no lookup. A request proves nothing about itself, and whoever creates a key chooses its
 * name and its agent. Its subject is reliable: only an admin can create a key for another subject. An agent that an admin chose counts too
 * (`attested_agent`).
 */
function agentsOf({ kind, id, subject, reading }: Principal): string[] {
  if (kind !== 'key') return [];
  // a key that acts for a user is not an agent with the user's name
  return reading === 'one' ? [id] : [id, subject];
}

const readerValues = (principal: Principal, channels: Channel[]): unknown[] => [
  principal.subjects,
  agentsOf(principal),
  channels,
  isAdmin(principal),
  principal.id,
];

export const findCapsule = (
  db: Db,
  tenant: string,
  principal: Principal,
  capsule_id: string,
  channels: Channel[] = visibilityById(principal).channels,
): Promise<CapsuleRow | undefined> =>
  db.row(
    `select ${columns}
     from capsules c join events e on e.tenant_id = c.tenant_id and e.seq = c.seq
     where c.tenant_id = $1 and c.capsule_id = $7 and ${READABLE}`,
    [tenant, ...readerValues(principal, channels), capsule_id],
  );

/** Lists capsules, newest first. */
export const listCapsules = (db: Db, tenant: string, principal: Principal, query: CapsuleList, before: string | undefined) =>
  db.rows<CapsuleRow>(
    `select ${columns}
     from capsules c join events e on e.tenant_id = c.tenant_id and e.seq = c.seq
     where c.tenant_id = $1 and ${READABLE}
       and ($7::text is null or c.capsule_id < $7)
       and ($8::text is null or ${STATUS} = $8)
       and ($9::boolean is null or (c.user_id = $10) = $9)
     order by c.capsule_id desc
     limit $11`,
    [
      tenant,
      ...readerValues(principal, visibilityById(principal).channels),
      before,
      query.status,
      query.authored,
      principal.subject,
      query.limit + 1,
    ],
  );

/** Returns the capsule that an event created or revoked, for a retry. */
export const capsuleOf = async (db: Db, tenant: string, seq: number): Promise<string | undefined> =>
  (
    await db.row<{ capsule_id: string }>(
      'select capsule_id from capsules where tenant_id = $1 and (seq = $2 or revoked_seq = $2)',
      [tenant, seq],
    )
  )?.capsule_id;

/** An item as the reader may see it now. */
export interface ItemRow {
  id: string;
  type: 'event' | 'passage' | 'memory' | 'artifact';
  kind: string | null;
  /** Null if it is large: then `text` is the beginning. */
  content: Record<string, unknown> | null;
  text: string | null;
  status: string | null;
  media_type: string | null;
  byte_count: number | null;
  bytes: Buffer | null;
  refs: string[];
  /** Null unless the item is a memory. */
  details: MemoryDetails | null;
  actor_type: string | null;
  actor_id: string | null;
  occurred_at: string;
}

/** Maximum number of bytes shown of one item; a response has up to 200 items. */
export const ITEM_BYTES = 16_384;

// An event with its edits applied, unless an erasure or retention blanked it or an edit hides it in one of the channels $6.
const EDITED = 'left join overlays o on o.tenant_id = e.tenant_id and o.seq = e.seq';
const SAID = 'coalesce(o.content, e.content)';
const INTACT = `e.erased_at is null and o.content is distinct from '{"withheld": true}' and is_shown_in_all(o.blocked_in, $6::text[])`;
const WHOLE = `case when coalesce(pg_column_size(o.content), e.byte_count) <= ${ITEM_BYTES} then ${SAID} end`;
const BEGINNING = `left(coalesce(${SAID} ->> 'text', ${SAID} ->> 'excerpt_text', ${SAID} ->> 'decision', ${SAID} ->> 'title', ${SAID}::text), ${ITEM_BYTES})`;

/** Reads the items that the visibility includes and that are still available. `shownIn`: channels in which no edit may hide them. */
export const readItems = (
  db: Db,
  tenant: string,
  ids: string[],
  visibility: Visibility,
  shownIn: Channel[],
): Promise<ItemRow[]> =>
  db.rows(
    `with wanted as materialized (
       select w.id, w.type, w.event_id, w.ordinal
       from jsonb_to_recordset($5::jsonb) as w (id text, type text, event_id text, ordinal int)
     )
     select
       w.id, w.type, e.kind, ${WHOLE} as content, ${BEGINNING} as text, null as status,
       null as media_type, null::bigint as byte_count, null::bytea as bytes, e.refs, null::jsonb as details,
       e.actor_type, e.actor_id, e.occurred_at
     from wanted w join events e on e.tenant_id = $1 and e.event_id = w.event_id ${EDITED}
     where w.type = 'event' and ${visible(2, 'e.')} and ${INTACT}
     union all
     select w.id, w.type, c.kind, null, passage_text(c), null, null, null, null, array[e.event_id], null, e.actor_type, e.actor_id, c.occurred_at
     from wanted w
     join events e on e.tenant_id = $1 and e.event_id = w.event_id
     join chunks c on c.tenant_id = $1 and c.seq = e.seq and c.ordinal = w.ordinal
     where w.type = 'passage' and ${visible(2, 'c.')} and is_shown_in_all(c.blocked_in, $6::text[])
     union all
     select
       w.id, w.type, m.kind, ${WHOLE}, ${BEGINNING}, m.status, null, null, null, e.refs,
       memory_details($1, m, m.content_seq, ${SAID}, e.actor_type, e.actor_id, m.last_seq), e.actor_type, e.actor_id, e.occurred_at
     from wanted w
     join memories m on m.tenant_id = $1 and m.memory_id = w.id
     join events e on e.tenant_id = $1 and e.seq = m.content_seq ${EDITED}
     where w.type = 'memory' and ${visible(2, 'm.')} and ${INTACT}
       and m.status = any (array['active', 'superseded']) and (m.expires_at is null or m.expires_at > now())
     union all
     select
       w.id, w.type, 'artifact', null, null, null, a.media_type, a.byte_count,
       case when a.media_type ~ '^(text/|application/json)' then substring(a.bytes from 1 for ${ITEM_BYTES}) end, array[a.event_id],
       null, null, null, a.created_at
     from wanted w
     join artifacts a on a.tenant_id = $1 and a.artifact_id = w.id
     join events e on e.tenant_id = $1 and e.event_id = a.event_id ${EDITED}
     where w.type = 'artifact' and ${visible(2, 'a.')} and ${INTACT} and o.content is null`,
    [tenant, ...visibilityValues(visibility), JSON.stringify(ids.map(locate)), shownIn],
  );

const types = { evt: 'event', chk: 'passage', mem: 'memory', art: 'artifact' } as const;

function locate(id: string) {
  const type = types[id.slice(0, 3) as keyof typeof types];
  if (type !== 'passage') return { id, type, event_id: id };
  return { id, type, ...(parseChunkId(id) ?? { event_id: id, ordinal: -1 }) };
}

/** Deletes capsules that expired more than 30 days ago; the log keeps their events. */
export const sweepCapsules = (tenant: Tenant, limit: number): Promise<number> =>
  tenant.write((db) =>
    db.run(
      `delete from capsules
       where tenant_id = $1 and capsule_id in (
         select capsule_id from capsules where tenant_id = $1 and expires_at < now() - interval '30 days' limit $2)`,
      [tenant.id, limit],
    ),
  );
