import type { Isolation } from '../feature.ts';

export const isolation: Isolation = {
  make: async ({ request }) => {
    await request('POST', '/v1/agents/of%20alice/kill', { body: { reason: 'alpha' } });
    return { agent_id: 'of%20alice' };
  },
  holdings: ['/v1/agents/of%20alice'],
  cases: {
    // an agent of the same name in mallory's tenant
    readAgent: { ownAnswer: true },
    killAgent: { body: () => ({ reason: 'of mallory' }), ownAnswer: true },
    resurrectAgent: { body: () => ({}), ownAnswer: true },
    killTenant: { body: () => ({}), ownAnswer: true },
    confirmTenantRestore: { ownAnswer: true },
    resurrectTenant: { body: () => ({}), ownAnswer: true },
  },
};
