import type { Isolation } from '../feature.ts';

export const isolation: Isolation = {
  make: async ({ request }) => {
    const policy = await request('POST', '/v1/policies', { body: { name: 'alpha', max_cost_total_micros: 1 } });
    const { policy_id } = policy.body;
    const rule = await request('POST', '/v1/rules', { body: { name: 'alpha', conditions: [], policy_ids: [policy_id] } });
    return { policy_id, rule_id: rule.body.rule_id };
  },
  holdings: ['/v1/policies', '/v1/rules'],
  cases: {
    createPolicy: { body: () => ({ name: 'of mallory' }), ownAnswer: true },
    listPolicies: { ownAnswer: true },
    readPolicy: {},
    listPolicyVersions: {},
    changePolicy: { body: () => ({ name: 'of mallory' }) },
    deletePolicy: {},
    createRule: { body: ({ policy_id }) => ({ name: 'of mallory', conditions: [], policy_ids: [policy_id] }) },
    listRules: { ownAnswer: true },
    readRule: {},
    changeRule: { body: ({ policy_id }) => ({ name: 'of mallory', conditions: [], policy_ids: [policy_id] }) },
    deleteRule: {},
    // no rule of mallory's tenant matches, so that the mandate denies everything
    issueMandate: { body: () => ({ agent_id: 'planner', context: {} }), ownAnswer: true },
  },
};
