import type { Isolation } from '../feature.ts';

const handed = (id?: string) => ({ items: [id], audience: { users: ['mallory'] }, channel: 'private' });

export const isolation: Isolation = {
  make: async ({ request }, { event_id }) => {
    const body = { items: [event_id], audience: 'all', channel: 'public', title: 'alpha' };
    return { capsule_id: (await request('POST', '/v1/capsules', { body })).body.capsule_id };
  },
  holdings: ['/v1/capsules'],
  cases: {
    createCapsule: {
      body: ({ event_id }) => ({ ...handed(event_id), user_id: 'mallory' }),
      citing: ({ event_id, chunk_id, artifact_id }) => [event_id, chunk_id, artifact_id].map(handed),
    },
    listCapsules: { ownAnswer: true },
    readCapsule: {},
    revokeCapsule: {},
    deleteCapsule: {},
  },
};
