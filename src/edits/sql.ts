import { type Visibility, visibilityValues, visible } from '../auth/index.ts';
import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import type { Outcome, Unit } from '../db/unit.ts';
import { parseChunkId } from '../passages/index.ts';
import type { EditScope } from './entry.ts';
import type { Edit, ListQuery, Status } from './schemas.ts';

/** The caller: what it may see, and whether it may read every proposal. */
export interface Reader {
  visibility: Visibility;
  admin: boolean;
  principal: string;
}

/** The event to be edited. `content` is its content with the text of the amendment. */
export interface TargetRow extends EditScope {
  seq: number;
  kind: string;
  actor_id: string;
  tags: string[];
  content: Record<string, unknown>;
  /** Null: every passage of the event. */
  ordinal: number | null;
}

/** Finds the target of an edit. Only admins find a retracted one. */
export function findTarget(
  db: Db,
  tenant: string,
  { visibility, admin }: Reader,
  target: string,
  text: string,
): Promise<TargetRow | undefined> {
  const chunk = parseChunkId(target);
  return db.row(
    `select
       e.seq, e.event_id, t.memory_id, e.kind, e.actor_id, e.tags, edited_content(e.kind, e.content, $8) as content, e.session_id, e.channel,
       e.user_id, e.agent_id, e.project_id, e.sensitivity, case when e.chunk_count > 1 then $7::smallint end as ordinal
     from (
       select $5::text as event_id, null as memory_id
       union all
       select c.event_id, m.memory_id
       from memories m join events c on c.tenant_id = m.tenant_id and c.seq = m.content_seq
       where m.tenant_id = $1 and m.memory_id = $6
     ) t
     join events e on e.tenant_id = $1 and e.event_id = t.event_id
     where ${visible(2, 'e.')}
       and ($9 or not exists (select from overlays o where o.tenant_id = $1 and o.seq = e.seq and o.content ? 'withheld'))
       and ($7::int is null or exists (
         select from chunks c where c.tenant_id = $1 and c.seq = e.seq and c.ordinal = $7::int and ($9 or c.text is distinct from '')))`,
    [tenant, ...visibilityValues(visibility), chunk?.event_id ?? target, target, chunk?.ordinal, text, admin],
  );
}

export interface NewRow extends Omit<TargetRow, 'kind' | 'actor_id' | 'tags' | 'content'> {
  edit_id: string;
  status: Status;
  target: string;
  op: string;
  reason: string;
  patch: Record<string, unknown>;
  passages: { text: string; header: string; token_count: number }[] | null;
  proposed_by: { type: string; id: string };
  principal: string;
  decided_by: { type: string; id: string } | null;
}

/** Maximum number of pending proposals of one user for an event, for admins and others. */
const MAX_PENDING = { admin: 100, other: 5 };

export const proposeEdit = (
  tenant: Tenant,
  unit: Unit,
  edit: NewRow,
  by: { user_id: string; admin: boolean },
): Promise<Outcome> =>
  tenant.change('select * from propose_edit($1, $2, $3, $4, $5)', [
    tenant.id,
    JSON.stringify(unit),
    JSON.stringify(edit),
    by.user_id,
    by.admin ? MAX_PENDING.admin : MAX_PENDING.other,
  ]);

/** `version`: the version that the client has read; null: any. */
export const decideEdit = (
  tenant: Tenant,
  unit: Unit,
  edit_id: string,
  to: { status: Status; by: { type: string; id: string }; version: number | null },
): Promise<Outcome> =>
  tenant.change('select * from decide_edit($1, $2, $3, $4, $5, $6)', [
    tenant.id,
    JSON.stringify(unit),
    edit_id,
    to.status,
    JSON.stringify(to.by),
    to.version,
  ]);

const columns = `d.edit_id, d.status, d.version, d.target, d.event_id, d.memory_id, d.op, d.reason, d.session_id, d.channel, d.user_id, d.agent_id,
  d.project_id, d.sensitivity, d.proposed_by, d.decided_by, d.proposed_seq as seq, d.last_seq, d.created_at, d.updated_at`;

type Row = Omit<Edit, 'user_id' | 'memory_id' | 'agent_id' | 'project_id' | 'decided_by'> & {
  user_id: string | null;
  memory_id: string | null;
  agent_id: string | null;
  project_id: string | null;
  decided_by: Edit['decided_by'] | null;
};

const optional = ['user_id', 'memory_id', 'agent_id', 'project_id', 'decided_by'] as const;

function toEdit(row: Row): Edit {
  const edit = { ...row };
  for (const name of optional) if (edit[name] === null) delete edit[name];
  return edit as Edit;
}

/** Reads an edit by its id or by the seq of the event that proposed it. */
export async function readEdit(
  db: Db,
  tenant: string,
  reader: Reader,
  of: { edit_id?: string; seq?: number },
): Promise<Edit | undefined> {
  const [row] = await select(db, tenant, reader, { ...of, limit: 1 });
  return row;
}

interface EditQuery extends Partial<Pick<ListQuery, 'status' | 'target' | 'op'>> {
  edit_id?: string;
  seq?: number;
  /** Proposed before this seq. */
  before?: number;
  limit: number;
}

// True for an amendment whose text is no longer in effect: a newer one replaced it, or an edit hides a passage of the event.
const REPLACED = `exists (
  select
  from edit_events x join edits n on n.tenant_id = x.tenant_id and n.edit_id = x.edit_id
  where x.tenant_id = d.tenant_id and x.seq = d.seq and n.status = 'approved'
    and (n.ordinal is null or d.ordinal is null or n.ordinal = d.ordinal)
    and (n.op in ('retract', 'quarantine') or (n.op = 'amend' and n.approved_seq > d.approved_seq)))`;

/** Lists edits, newest first. Only admins and the author see a text that is hidden or not in effect. */
export async function select(
  db: Db,
  tenant: string,
  { visibility, admin, principal }: Reader,
  query: EditQuery,
): Promise<Edit[]> {
  const rows = await db.rows<Row>(
    `select ${columns},
       case
         when d.op <> 'amend' or $5 or d.principal = $6 then d.patch
         when d.status = 'approved' and (o.seq is null or o.blocked_in is null) and not ${REPLACED} then d.patch
         else d.patch - 'text' end as patch
     from edits d
     left join overlays o on o.tenant_id = d.tenant_id and o.seq = d.seq
     where d.tenant_id = $1 and ${visible(2, 'd.')}
       and ($7::text is null or d.edit_id = $7)
       and ($8::bigint is null or d.proposed_seq = $8)
       and ($9::text is null or d.status = $9)
       and ($10::text is null or d.target = $10)
       and ($11::text is null or d.op = $11)
       and ($12::bigint is null or d.proposed_seq < $12)
     order by d.proposed_seq desc
     limit $13`,
    [
      tenant,
      ...visibilityValues(visibility),
      admin,
      principal,
      query.edit_id,
      query.seq,
      query.status,
      query.target,
      query.op,
      query.before,
      query.limit,
    ],
  );
  return rows.map(toEdit);
}
