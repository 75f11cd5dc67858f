import { type Caller, route } from '../auth/index.ts';
import type { Db } from '../db/query.ts';
import { assertVersion, etagOf, ifMatchOf } from '../http/etag.ts';
import { replayHeaders } from '../http/outcome.ts';
import { pageById } from '../http/page.ts';
import { Problem, type ProblemType } from '../http/problem.ts';
import { newId } from '../id.ts';
import { changeOnce } from './once.ts';
import { MAX_RULE, type RuleBody, type RuleView, rule, ruleBody, ruleList, rulePage, ruleParams } from './schemas.ts';
import { deleteRule, existing, findRule, insertRule, listRules, type RuleRow, updateRule } from './sql.ts';

const tagged = { tag: 'Policies', limit: 'v1', access: 'admin' } as const;
const written = {
  ...tagged,
  idempotent: true,
  body: ruleBody,
  maxBytes: MAX_RULE,
  freeText: ['name'],
  unredactable: ['conditions', 'policy_ids', 'agent_ids'],
};
const problems = [
  'malformed-json',
  'impossible-text',
  'validation',
  'forbidden',
  'not-found',
  'conflict',
] satisfies ProblemType[];

export const ruleRoutes = [
  route({
    ...written,
    method: 'POST',
    path: '/v1/rules',
    operation: 'createRule',
    summary: 'Create a rule',
    description: 'The policies of all rules that match a context are composed.',
    audit: 'rule.created',
    success: { status: 201, description: 'The rule', schema: rule },
    problems: [...problems],
    handle: async ({ caller, body, idempotency }) => {
      const { tenant, principal } = caller;
      const { ref, replay } = await changeOnce(tenant, idempotency, async (db) => {
        await assertPolicies(db, tenant.id, body);
        const created = await insertRule(db, tenant.id, newId('rul'), body, principal.user_id);
        if (!created) throw new Problem('conflict', 'The tenant has too many rules.');
        return { rule_id: created.rule_id };
      });
      return answer(await read(caller, ref.rule_id), replay);
    },
  }),
  route({
    ...tagged,
    method: 'GET',
    path: '/v1/rules',
    operation: 'listRules',
    summary: 'List rules',
    query: ruleList,
    success: { status: 200, description: 'A page of rules', schema: rulePage },
    problems: ['validation', 'forbidden'],
    handle: async ({ caller: { tenant }, query }) => {
      const readPage = (after: string, count: number) => tenant.read((db) => listRules(db, tenant.id, after, count));
      const { data, ...page } = await pageById(query, readPage, (row) => row.rule_id);
      return { body: { data: data.map(viewOf), ...page } };
    },
  }),
  route({
    ...tagged,
    method: 'GET',
    path: '/v1/rules/{rule_id}',
    operation: 'readRule',
    summary: 'Get a rule',
    params: ruleParams,
    success: { status: 200, description: 'The rule', schema: rule },
    problems: ['validation', 'forbidden', 'not-found'],
    handle: async ({ caller, params }) => answer(await read(caller, params.rule_id), false),
  }),
  route({
    ...written,
    method: 'PUT',
    path: '/v1/rules/{rule_id}',
    operation: 'changeRule',
    summary: 'Replace a rule',
    params: ruleParams,
    audit: 'rule.changed',
    success: { status: 200, description: 'The rule', schema: rule },
    problems: [...problems, 'precondition-failed'],
    handle: async ({ caller, params: { rule_id }, body, req, idempotency }) => {
      const { tenant, principal } = caller;
      const { replay } = await changeOnce(tenant, idempotency, async (db) => {
        const current = await findRule(db, tenant.id, rule_id);
        if (!current) throw noRule();
        assertVersion(ifMatchOf(req), current, 'rule');
        await assertPolicies(db, tenant.id, body);
        await updateRule(db, tenant.id, rule_id, body, principal.user_id);
        return { rule_id };
      });
      return answer(await read(caller, rule_id), replay);
    },
  }),
  route({
    ...tagged,
    method: 'DELETE',
    path: '/v1/rules/{rule_id}',
    operation: 'deleteRule',
    summary: 'Delete a rule',
    idempotent: true,
    params: ruleParams,
    audit: 'rule.deleted',
    success: { status: 204, description: 'The rule was deleted' },
    problems: ['validation', 'forbidden', 'not-found', 'conflict'],
    handle: async ({ caller: { tenant }, params: { rule_id }, idempotency }) => {
      const { replay } = await changeOnce(tenant, idempotency, async (db) => {
        if ((await deleteRule(db, tenant.id, rule_id)) === 0) throw noRule();
        return { rule_id };
      });
      return { headers: replayHeaders(replay) };
    },
  }),
];

const noRule = () => new Problem('not-found', 'There is no rule with this id.');

async function assertPolicies(db: Db, tenant_id: string, { policy_ids }: RuleBody): Promise<void> {
  const known = await existing(db, tenant_id, policy_ids);
  const missing = policy_ids.findIndex((id) => !known.has(id));
  if (missing >= 0)
    throw new Problem('not-found', 'There is no policy with this id.', {
      errors: [{ pointer: `#/policy_ids/${missing}`, detail: 'must be the id of a policy' }],
    });
}

async function read({ tenant }: Caller, rule_id: string): Promise<RuleView> {
  const row = await tenant.read((db) => findRule(db, tenant.id, rule_id));
  if (!row) throw noRule();
  return viewOf(row);
}

const viewOf = ({ agent_ids, ...row }: RuleRow): RuleView => ({ ...row, ...(agent_ids !== null && { agent_ids }) });

const answer = (view: RuleView, replay: boolean) => ({ body: view, headers: { ETag: etagOf(view), ...replayHeaders(replay) } });
