import { ALL_SUBJECTS, agentOf, type Caller, route } from '../auth/index.ts';
import type { Mac } from '../http/idempotency.ts';
import { replayHeaders } from '../http/outcome.ts';
import { Problem } from '../http/problem.ts';
import { issueMandate, readMandate } from '../mandates/index.ts';
import { compose } from './compose.ts';
import { holds } from './conditions.ts';
import { DEFAULT_EXPIRES_MS, issueBody, issued } from './schemas.ts';
import { latestOf, MAX_RULES, rulesFor } from './sql.ts';

/** Bounds the work of a composition. */
const MAX_COMPOSED = 64;

export const issueRoutes = (mac: Mac) => [
  route({
    tag: 'Policies',
    limit: 'v1',
    access: 'admin',
    method: 'POST',
    path: '/v1/mandates/issue',
    operation: 'issueMandate',
    summary: 'Issue a mandate for a context',
    description:
      'Composes the policies of all rules that match the context: the lowest budgets, the tools that all allow and none denies, the strictest rates. If no rule matches, the mandate denies everything.',
    audit: 'mandate.issued',
    idempotent: true,
    body: issueBody,
    unredactable: ['agent_id', 'principal', 'context'],
    success: { status: 201, description: 'The mandate', schema: issued },
    problems: ['malformed-json', 'impossible-text', 'validation', 'forbidden', 'conflict', 'quota-exceeded'],
    handle: async ({ caller, body: { agent_id, principal, context }, idempotency }) => {
      agentOf(caller.principal, agent_id);
      const { definition, expires_in_ms, policies, rule_ids } = await composedFor(caller, agent_id, context);
      const own = caller.principal.subject === ALL_SUBJECTS ? null : caller.principal.subject;
      const expires_at = new Date(Date.now() + expires_in_ms).toISOString();
      const made = { agent_id, principal: principal ?? own, definition, expires_at, origin: { policies, rule_ids } };
      const { answer, replay } = await issueMandate(mac, caller, made, idempotency);
      const { mandate_id, ...origin } = answer;
      const view = await readMandate(caller, String(mandate_id));
      return { body: { ...view, ...origin }, headers: replayHeaders(replay), audit: origin };
    },
  }),
];

/** Composes the policies of the rules that match. */
async function composedFor({ tenant }: Caller, agent_id: string, context: Record<string, unknown>) {
  const { rules, rows } = await tenant.snapshot(async (db) => {
    const all = await rulesFor(db, tenant.id, agent_id);
    if (all.length > MAX_RULES) throw new Problem('conflict', `More than ${MAX_RULES} rules apply to this agent.`);
    const matching = all.filter(({ conditions }) => holds(conditions, context));
    const ids = [...new Set(matching.flatMap(({ policy_ids }) => policy_ids))];
    if (ids.length > MAX_COMPOSED) throw new Problem('conflict', `More than ${MAX_COMPOSED} policies apply to this context.`);
    return { rules: matching, rows: await latestOf(db, tenant.id, ids) };
  });
  const applied = rows.map((row) => ({ ...row, expires_in_ms: row.expires_in_ms ?? DEFAULT_EXPIRES_MS }));
  return {
    definition: compose(applied),
    expires_in_ms: Math.min(
      ...(applied.length > 0 ? applied : [{ expires_in_ms: DEFAULT_EXPIRES_MS }]).map((one) => one.expires_in_ms),
    ),
    policies: rows.map(({ policy_id, version }) => ({ policy_id, version })),
    rule_ids: rules.map(({ rule_id }) => rule_id),
  };
}
