import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import type { Definition } from './schemas.ts';

export interface MandateRow {
  mandate_id: string;
  seq: number;
  chain: string[];
  agent_id: string;
  principal: string | null;
  status: 'active' | 'revoked' | 'expired' | 'suspended';
  definition: Definition;
  created_at: string;
  expires_at: string | null;
  revoked_at: string | null;
  spent_micros: number;
  reserved_micros: number;
  remaining_micros: number | null;
  calls: number;
  overdrawn_micros: number;
}

// A mandate ends with any of its ancestors. The reader: $2 is true for those who may read all mandates, $3 a subject.
const STATUS = `(
  select case
    when bool_or(a.revoked_at is not null) then 'revoked'
    when bool_or(a.expires_at <= now()) then 'expired'
    when bool_or(a.suspended or a.created_at < (select void_before(m.tenant_id))) then 'suspended'
    else 'active' end
  from mandates a
  where a.tenant_id = m.tenant_id and a.mandate_id = any (m.chain))`;
const columns = `m.mandate_id, m.seq, m.chain, m.agent_id, m.principal, ${STATUS} as status, m.definition, m.created_at, m.expires_at, m.revoked_at,
  u.spent_micros, u.reserved_micros, u.remaining_micros, u.calls, u.overdrawn_micros`;
const READABLE = '($2::boolean or m.principal = $3)';

export interface Reader {
  all: boolean;
  subject: string;
}

export const findMandate = (
  db: Db,
  tenant: string,
  { all, subject }: Reader,
  mandate_id: string,
): Promise<MandateRow | undefined> =>
  db.row(
    `select ${columns}
     from mandates m cross join lateral mandate_usage($1, array[m.mandate_id]) u
     where m.tenant_id = $1 and ${READABLE} and m.mandate_id = $4`,
    [tenant, all, subject, mandate_id],
  );

export interface MandateFilter {
  agent_id?: string | undefined;
  status?: MandateRow['status'] | undefined;
  after: string;
  count: number;
}

export const listMandates = (
  db: Db,
  tenant: string,
  { all, subject }: Reader,
  { agent_id, status, after, count }: MandateFilter,
): Promise<MandateRow[]> =>
  db.rows(
    `select ${columns}
     from (
       select * from mandates m
       where m.tenant_id = $1 and ${READABLE} and m.mandate_id > $4 and ($5::text is null or m.agent_id = $5) and ($6::text is null or ${STATUS} = $6)
       order by m.mandate_id
       limit $7
     ) m
     cross join lateral mandate_usage($1, array[m.mandate_id]) u
     order by m.mandate_id`,
    [tenant, all, subject, after, agent_id, status, count],
  );

/** The immutable part of a mandate and of its ancestors. */
export interface TermsRow {
  mandate_id: string;
  revision: string;
  chain: string[];
  agent_id: string;
  principal: string | null;
  expires_at: string | null;
  /** In the order of `chain`. */
  definitions: Definition[];
}

export const findTerms = (db: Db, tenant: string, mandate_id: string): Promise<TermsRow | undefined> =>
  db.row(
    `select
       m.mandate_id, m.revision, m.chain, m.agent_id, m.principal, m.expires_at,
       (select jsonb_agg(a.definition order by cardinality(a.chain)) from mandates a where a.tenant_id = $1 and a.mandate_id = any (m.chain)) as definitions
     from mandates m
     where m.tenant_id = $1 and m.mandate_id = $2`,
    [tenant, mandate_id],
  );

export interface MandateEnd {
  reason: 'revoked' | 'expired';
  /** The ids of all its actions, to which none is added. */
  actions: string[];
}

/** Returns the end of a mandate; undefined if it has not ended, has more than `max` actions, or is refused for another reason. */
export async function findEnd(tenant: Tenant, mandate_id: string, max: number): Promise<MandateEnd | undefined> {
  const [row] = await tenant.call<{ ended: MandateEnd | null }>('select mandate_end($1, $2, $3) as ended', [
    tenant.id,
    mandate_id,
    max,
  ]);
  return row?.ended ?? undefined;
}

/** Returns whether the mandate itself is revoked, regardless of those that it was delegated from. */
export async function isRevoked(db: Db, tenant: string, mandate_id: string): Promise<boolean> {
  const row = await db.row('select from mandates where tenant_id = $1 and mandate_id = $2 and revoked_at is not null', [
    tenant,
    mandate_id,
  ]);
  return row !== undefined;
}

export interface ActionRow {
  mandate_id: string;
  action_id: string;
  type: 'tool_call' | 'llm_call';
  tool: string | null;
  model: string | null;
  decision: 'allow' | 'defer' | 'deny';
  state: 'open' | 'settled' | 'expired' | 'denied';
  args: Record<string, unknown> | null;
  args_hash: string | null;
  estimate_micros: number;
  reserved_micros: number;
  charged_micros: number | null;
  outcome: 'success' | 'failure' | null;
  code: string | null;
  created_at: string;
  expires_at: string;
  ended_at: string | null;
}

// An action that is open after its expires_at, or after a kill, has ended, whether a sweep has written that or not.
const LAPSED = `(a.state = 'lapsed' or (a.state = 'open' and a.ends_at <= now()))`;

const actionColumns = `a.mandate_id, a.action_id, a.type, a.tool, a.model, a.decision, case when ${LAPSED} then 'expired' else a.state end as state,
       case when not ${LAPSED} then a.args end as args, a.args_hash, a.estimate_micros,
       case when a.state = 'open' and not ${LAPSED} then a.reserved_micros else 0 end as reserved_micros,
       case when ${LAPSED} then a.lapse_micros else a.charged_micros end as charged_micros,
       a.settlement ->> 'outcome' as outcome,
       case when ${LAPSED} and a.decision = 'allow' then 'EXECUTION_TIMEOUT' else a.settlement #>> '{answer,code}' end as code,
       a.created_at, a.ends_at as expires_at, case when ${LAPSED} then a.ends_at else a.ended_at end as ended_at`;
const ENDS_AT = `case a.state when 'open' then least(a.expires_at, kill_of($1, a.mandate_id, a.created_at)) else a.expires_at end`;

export const findAction = (db: Db, tenant: string, mandate_id: string, action_id: string): Promise<ActionRow | undefined> =>
  db.row(
    `select ${actionColumns}
     from (
       select *, ${ENDS_AT} as ends_at
       from actions a
       where a.tenant_id = $1 and a.mandate_id = $2 and a.action_id = $3
     ) a`,
    [tenant, mandate_id, action_id],
  );

export interface DeferredFilter {
  mandate_id?: string | undefined;
  after: [mandate_id: string, action_id: string];
  count: number;
}

/** Arguments have up to 128 KiB each. */
const PAGE_BYTES = 4 * 1024 * 1024;

/** Lists the actions that wait for a decision, by mandate and id, up to about 4 MiB. `listed`: their number without this limit. */
export const listDeferred = (
  db: Db,
  tenant: string,
  { all, subject }: Reader,
  { mandate_id, after, count }: DeferredFilter,
): Promise<(ActionRow & { listed: number })[]> =>
  db.rows(
    `select ${actionColumns}, a.listed
     from (
       select *, ${ENDS_AT} as ends_at, count(*) over () as listed, sum(a.size) over (order by a.mandate_id, a.action_id) - a.size as before
       from (
         select a.*, coalesce(octet_length(a.args::text), 0) as size
         from actions a join mandates m on m.tenant_id = $1 and m.mandate_id = a.mandate_id
         where a.tenant_id = $1 and a.decision = 'defer' and a.state = 'open' and a.expires_at > now()
           and (a.created_at > (select last_kill($1)) or coalesce(kill_of($1, a.mandate_id, a.created_at) > now(), true))
           and ${READABLE} and ($4::text is null or a.mandate_id = $4) and (a.mandate_id, a.action_id) > ($5, $6)
         order by a.mandate_id, a.action_id
         limit $7
       ) a
     ) a
     where a.before < ${PAGE_BYTES}
     order by a.mandate_id, a.action_id`,
    [tenant, all, subject, mandate_id, ...after, count],
  );

/** A sweep calls a function that locks the clock, because the group commit locks it before any mandate. */
const sweep =
  (statement: string) =>
  async (tenant: Tenant, limit: number): Promise<number> =>
    (await tenant.call<{ count: number }>(statement, [tenant.id, limit]))[0]!.count;

/** Charges and ends expired actions; what they reserved counts as free without it. */
export const sweepExpired = sweep('select sweep_expired_actions($1, $2) as count');
/** Deletes actions that ended more than 30 days ago. */
export const sweepEnded = sweep('select sweep_ended_actions($1, $2) as count');
/** Deletes calls that no window reaches. */
export const sweepCalls = sweep('select sweep_mandate_calls($1, $2) as count');
