import type { Isolation } from '../feature.ts';

const retract = (target?: string) => ({ target, op: 'retract', reason: 'of mallory' });

export const isolation: Isolation = {
  make: async ({ request }, { event_id }) => {
    const body = { target: event_id, op: 'amend', patch: { text: 'alpha public plan' }, reason: 'alpha reason' };
    return { edit_id: (await request('POST', '/v1/edits', { body })).body.edit_id };
  },
  holdings: ['/v1/edits'],
  cases: {
    proposeEdit: {
      body: ({ event_id }) => ({ ...retract(event_id), auto_approve: true }),
      citing: ({ event_id, chunk_id, memory_id }) => [event_id, chunk_id, memory_id].map(retract),
    },
    listEdits: { query: ({ event_id }) => `?target=${event_id}`, ownAnswer: true },
    readEdit: {},
    approveEdit: {},
    rejectEdit: {},
    revertEdit: {},
  },
};
