import type { Db } from '../db/query.ts';
import type { Definition } from '../mandates/index.ts';
import type { RuleBody, RuleView } from './schemas.ts';

const MAX_POLICIES = 200;
const MAX_VERSIONS = 200;
export const MAX_RULES = 500;

const columns = 'p.policy_id, p.version, p.name, p.description, p.definition, p.expires_in_ms, p.created_at';
const ruleColumns = 'r.rule_id, r.version, r.name, r.conditions, r.policy_ids, r.agent_ids, r.created_at, r.updated_at';

export interface PolicyRow {
  policy_id: string;
  version: number;
  name: string;
  description: string | null;
  definition: Definition;
  expires_in_ms: number | null;
  created_at: string;
}

export type NewPolicy = Omit<PolicyRow, 'created_at'> & { made_by: string };

/** Inserts a version. Returns undefined if the tenant has too many policies, or the policy too many versions. */
export const insertPolicy = (db: Db, tenant: string, policy: NewPolicy): Promise<PolicyRow | undefined> =>
  db.row(
    `insert into policies as p (tenant_id, policy_id, version, name, description, definition, expires_in_ms, made_by)
     select $1, $2, $3, $4, $5, $6::jsonb, $7::bigint, $8
     where $3::int <= ${MAX_VERSIONS} and (select count(distinct policy_id) from policies where tenant_id = $1 and policy_id <> $2) < ${MAX_POLICIES}
     returning ${columns}`,
    [
      tenant,
      policy.policy_id,
      policy.version,
      policy.name,
      policy.description,
      JSON.stringify(policy.definition),
      policy.expires_in_ms,
      policy.made_by,
    ],
  );

/** Reads a version; null: the latest. */
export const findPolicy = (db: Db, tenant: string, policy_id: string, version: number | null): Promise<PolicyRow | undefined> =>
  db.row(
    `select ${columns} from policies p
     where p.tenant_id = $1 and p.policy_id = $2 and ($3::int is null or p.version = $3)
     order by p.version desc
     limit 1`,
    [tenant, policy_id, version],
  );

/** Lists the latest versions of all policies. */
export const listPolicies = (db: Db, tenant: string, after: string, count: number): Promise<PolicyRow[]> =>
  db.rows(
    `select distinct on (p.policy_id) ${columns} from policies p
     where p.tenant_id = $1 and p.policy_id > $2
     order by p.policy_id, p.version desc
     limit $3`,
    [tenant, after, count],
  );

/** Lists the versions of a policy below one, newest first. */
export const listVersions = (db: Db, tenant: string, policy_id: string, below: number, count: number): Promise<PolicyRow[]> =>
  db.rows(
    `select ${columns} from policies p
     where p.tenant_id = $1 and p.policy_id = $2 and p.version < $3
     order by p.version desc
     limit $4`,
    [tenant, policy_id, below, count],
  );

export const deletePolicy = (db: Db, tenant: string, policy_id: string): Promise<number> =>
  db.run('delete from policies where tenant_id = $1 and policy_id = $2', [tenant, policy_id]);

/** Returns a rule that names the policy. */
export const ruleNaming = (db: Db, tenant: string, policy_id: string): Promise<{ rule_id: string } | undefined> =>
  db.row('select r.rule_id from policy_rules r where r.tenant_id = $1 and $2 = any (r.policy_ids) limit 1', [tenant, policy_id]);

/** Returns which of these policies exist. */
export async function existing(db: Db, tenant: string, policy_ids: string[]): Promise<Set<string>> {
  const rows = await db.rows<{ policy_id: string }>(
    'select distinct p.policy_id from policies p where p.tenant_id = $1 and p.policy_id = any ($2)',
    [tenant, policy_ids],
  );
  return new Set(rows.map(({ policy_id }) => policy_id));
}

export type RuleRow = Omit<RuleView, 'agent_ids'> & { agent_ids: string[] | null };

/** Returns undefined if the tenant has too many rules. */
export const insertRule = (
  db: Db,
  tenant: string,
  rule_id: string,
  rule: RuleBody,
  made_by: string,
): Promise<RuleRow | undefined> =>
  db.row(
    `insert into policy_rules as r (tenant_id, rule_id, version, name, conditions, policy_ids, agent_ids, made_by)
     select $1, $2, 1, $3, $4::jsonb, $5, $6, $7
     where (select count(*) from policy_rules where tenant_id = $1) < ${MAX_RULES}
     returning ${ruleColumns}`,
    [tenant, rule_id, rule.name, JSON.stringify(rule.conditions), rule.policy_ids, rule.agent_ids ?? null, made_by],
  );

export const updateRule = (
  db: Db,
  tenant: string,
  rule_id: string,
  rule: RuleBody,
  made_by: string,
): Promise<RuleRow | undefined> =>
  db.row(
    `update policy_rules r
     set version = r.version + 1, name = $3, conditions = $4::jsonb, policy_ids = $5, agent_ids = $6, made_by = $7, updated_at = now()
     where r.tenant_id = $1 and r.rule_id = $2
     returning ${ruleColumns}`,
    [tenant, rule_id, rule.name, JSON.stringify(rule.conditions), rule.policy_ids, rule.agent_ids ?? null, made_by],
  );

export const findRule = (db: Db, tenant: string, rule_id: string): Promise<RuleRow | undefined> =>
  db.row(`select ${ruleColumns} from policy_rules r where r.tenant_id = $1 and r.rule_id = $2`, [tenant, rule_id]);

export const listRules = (db: Db, tenant: string, after: string, count: number): Promise<RuleRow[]> =>
  db.rows(`select ${ruleColumns} from policy_rules r where r.tenant_id = $1 and r.rule_id > $2 order by r.rule_id limit $3`, [
    tenant,
    after,
    count,
  ]);

export const deleteRule = (db: Db, tenant: string, rule_id: string): Promise<number> =>
  db.run('delete from policy_rules where tenant_id = $1 and rule_id = $2', [tenant, rule_id]);

/** Returns the rules for an agent, at most one more than MAX_RULES: an import can bring more. */
export const rulesFor = (db: Db, tenant: string, agent_id: string): Promise<RuleRow[]> =>
  db.rows(
    `select ${ruleColumns} from policy_rules r
     where r.tenant_id = $1 and (r.agent_ids is null or $2 = any (r.agent_ids))
     order by r.rule_id
     limit ${MAX_RULES} + 1`,
    [tenant, agent_id],
  );

/** Returns the latest versions of these policies. */
export const latestOf = (db: Db, tenant: string, policy_ids: string[]): Promise<PolicyRow[]> =>
  db.rows(
    `select distinct on (p.policy_id) ${columns} from policies p
     where p.tenant_id = $1 and p.policy_id = any ($2)
     order by p.policy_id, p.version desc`,
    [tenant, policy_ids],
  );
