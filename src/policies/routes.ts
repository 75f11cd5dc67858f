import { type Caller, route } from '../auth/index.ts';
import { assertVersion, etagOf, ifMatchOf } from '../http/etag.ts';
import { replayHeaders } from '../http/outcome.ts';
import { decodeCursor, pageById, toPage } from '../http/page.ts';
import { Problem, type ProblemType } from '../http/problem.ts';
import { newId } from '../id.ts';
import { MAX_DEFINITION } from '../mandates/index.ts';
import { changeOnce } from './once.ts';
import {
  type PolicyBody,
  type PolicyView,
  policy,
  policyBody,
  policyList,
  policyPage,
  policyParams,
  versionQuery,
} from './schemas.ts';
import { deletePolicy, findPolicy, insertPolicy, listPolicies, listVersions, type PolicyRow, ruleNaming } from './sql.ts';

const tagged = { tag: 'Policies', limit: 'v1', access: 'admin' } as const;
const written = {
  ...tagged,
  idempotent: true,
  body: policyBody,
  maxBytes: MAX_DEFINITION,
  freeText: ['name', 'description'],
  unredactable: ['allowed_tools', 'denied_tools', 'tool_policies', 'charging', 'pricing'],
};
const problems = ['malformed-json', 'impossible-text', 'validation', 'forbidden', 'conflict'] satisfies ProblemType[];

const writeRoutes = [
  route({
    ...written,
    method: 'POST',
    path: '/v1/policies',
    operation: 'createPolicy',
    summary: 'Create a policy',
    description: 'A policy has the terms of a mandate. Rules select the policies from which a mandate is composed.',
    audit: 'policy.created',
    success: { status: 201, description: 'Version 1', schema: policy },
    problems: [...problems],
    handle: async ({ caller, body, idempotency }) => {
      const { tenant } = caller;
      const { ref, replay } = await changeOnce(tenant, idempotency, (db) => {
        const made = { policy_id: newId('pol'), version: 1, ...rowOf(caller, body) };
        return insertPolicy(db, tenant.id, made).then(keyOf);
      });
      return answer(await read(caller, ref.policy_id, ref.version), replay);
    },
  }),
  route({
    ...written,
    method: 'PUT',
    path: '/v1/policies/{policy_id}',
    operation: 'changePolicy',
    summary: 'Add a version of a policy',
    description: 'Versions never change. Mandates that were composed before keep their terms.',
    params: policyParams,
    audit: 'policy.changed',
    success: { status: 200, description: 'The new version', schema: policy },
    problems: [...problems, 'not-found', 'precondition-failed'],
    handle: async ({ caller, params: { policy_id }, body, req, idempotency }) => {
      const { tenant } = caller;
      const { ref, replay } = await changeOnce(tenant, idempotency, async (db) => {
        const latest = await findPolicy(db, tenant.id, policy_id, null);
        if (!latest) throw noPolicy();
        assertVersion(ifMatchOf(req), latest, 'policy');
        const next = { policy_id, version: latest.version + 1, ...rowOf(caller, body) };
        return keyOf(await insertPolicy(db, tenant.id, next));
      });
      return answer(await read(caller, ref.policy_id, ref.version), replay);
    },
  }),
  route({
    ...tagged,
    method: 'DELETE',
    path: '/v1/policies/{policy_id}',
    operation: 'deletePolicy',
    summary: 'Delete a policy with all its versions',
    description: 'A policy that a rule names cannot be deleted.',
    idempotent: true,
    params: policyParams,
    audit: 'policy.deleted',
    success: { status: 204, description: 'The policy was deleted' },
    problems: ['validation', 'forbidden', 'not-found', 'conflict'],
    handle: async ({ caller: { tenant }, params: { policy_id }, idempotency }) => {
      const { replay } = await changeOnce(tenant, idempotency, async (db) => {
        const naming = await ruleNaming(db, tenant.id, policy_id);
        if (naming) throw new Problem('conflict', `The rule ${naming.rule_id} names this policy. Change the rule first.`);
        if ((await deletePolicy(db, tenant.id, policy_id)) === 0) throw noPolicy();
        return { policy_id };
      });
      return { headers: replayHeaders(replay) };
    },
  }),
];

const readRoutes = [
  route({
    ...tagged,
    method: 'GET',
    path: '/v1/policies',
    operation: 'listPolicies',
    summary: 'List the latest versions of policies',
    query: policyList,
    success: { status: 200, description: 'A page of policies', schema: policyPage },
    problems: ['validation', 'forbidden'],
    handle: async ({ caller: { tenant }, query }) => {
      const read = (after: string, count: number) => tenant.read((db) => listPolicies(db, tenant.id, after, count));
      const { data, ...page } = await pageById(query, read, (row) => row.policy_id);
      return { body: { data: data.map(viewOf), ...page } };
    },
  }),
  route({
    ...tagged,
    method: 'GET',
    path: '/v1/policies/{policy_id}',
    operation: 'readPolicy',
    summary: 'Get a version of a policy',
    params: policyParams,
    query: versionQuery,
    success: { status: 200, description: 'The version', schema: policy },
    problems: ['validation', 'forbidden', 'not-found'],
    handle: async ({ caller, params, query }) => answer(await read(caller, params.policy_id, query.version ?? null), false),
  }),
  route({
    ...tagged,
    method: 'GET',
    path: '/v1/policies/{policy_id}/versions',
    operation: 'listPolicyVersions',
    summary: 'List the versions of a policy, newest first',
    params: policyParams,
    query: policyList,
    success: { status: 200, description: 'A page of versions', schema: policyPage },
    problems: ['validation', 'forbidden', 'not-found'],
    handle: async ({ caller: { tenant }, params, query: { cursor, limit } }) => {
      const below = cursor === undefined ? Number.MAX_SAFE_INTEGER : Number(decodeCursor(cursor, ['number'])[0]);
      const rows = await tenant.read((db) =>
        listVersions(db, tenant.id, params.policy_id, Math.min(below, 2 ** 31 - 1), limit + 1),
      );
      if (rows.length === 0 && cursor === undefined) throw noPolicy();
      const { data, ...page } = toPage(rows, limit, (row) => [row.version]);
      return { body: { data: data.map(viewOf), ...page } };
    },
  }),
];

export const policyRoutes = [...writeRoutes, ...readRoutes];

const noPolicy = () => new Problem('not-found', 'There is no policy with this id and version.');

const rowOf = ({ principal }: Caller, { name, description, expires_in_ms, ...definition }: PolicyBody) => ({
  name,
  description: description ?? null,
  definition,
  expires_in_ms: expires_in_ms ?? null,
  made_by: principal.user_id,
});

function keyOf(row: PolicyRow | undefined) {
  if (!row) throw new Problem('conflict', 'The tenant has too many policies, or the policy too many versions.');
  return { policy_id: row.policy_id, version: row.version };
}

async function read({ tenant }: Caller, policy_id: string, version: number | null): Promise<PolicyView> {
  const row = await tenant.read((db) => findPolicy(db, tenant.id, policy_id, version));
  if (!row) throw noPolicy();
  return viewOf(row);
}

const viewOf = ({ description, expires_in_ms, definition, ...row }: PolicyRow): PolicyView => ({
  ...definition,
  ...row,
  ...(description !== null && { description }),
  ...(expires_in_ms !== null && { expires_in_ms }),
});

const answer = (view: PolicyView, replay: boolean) => ({
  body: view,
  headers: { ETag: etagOf(view), ...replayHeaders(replay) },
});
