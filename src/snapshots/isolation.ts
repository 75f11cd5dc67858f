import type { Isolation } from '../feature.ts';

export const isolation: Isolation = {
  make: async ({ request }) => ({ name: (await request('POST', '/v1/snapshots', { body: { name: 'alpha' } })).body.name }),
  holdings: ['/v1/snapshots'],
  cases: {
    createSnapshot: { body: () => ({ name: 'of-mallory' }), ownAnswer: true },
    listSnapshots: { ownAnswer: true },
    deleteSnapshot: {},
    diffSnapshot: {},
    restoreSnapshot: {},
    restoreState: { body: ({ name }) => ({ at: name }) },
    forkState: { body: () => ({ to: 'of-mallory' }), ownAnswer: true },
  },
};
