import type { Isolation } from '../feature.ts';

const action = { type: 'tool_call', tool: 'alpha', action_id: 'alpha', estimate_micros: 1 };

export const isolation: Isolation = {
  make: async ({ request }) => {
    const { body } = await request('POST', '/v1/mandates', { body: { agent_id: 'alpha', max_cost_total_micros: 7 } });
    await request('POST', `/v1/mandates/${body.mandate_id}/actions`, { body: action });
    return { mandate_id: body.mandate_id, action_id: 'alpha' };
  },
  holdings: ['/v1/mandates'],
  cases: {
    createMandate: { body: () => ({ agent_id: 'of mallory' }), ownAnswer: true },
    listMandates: { ownAnswer: true },
    readMandate: {},
    revokeMandate: { body: () => ({}) },
    delegateMandate: { body: () => ({}) },
    authoriseAction: { body: () => ({ ...action, action_id: 'of mallory' }) },
    readAction: {},
    listActions: { query: () => '?decision=defer', ownAnswer: true },
    settleAction: { body: () => ({ outcome: 'success' }) },
    decideAction: { body: () => ({ decision: 'allow' }) },
  },
};
