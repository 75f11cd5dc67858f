import type { Isolation } from '../feature.ts';

const request = { session_id: 's1', channel: 'private' };

export const isolation: Isolation = {
  cases: {
    buildContext: {
      body: () => ({ ...request, query_text: 'the secret plan', user_id: 'alice' }),
      citing: ({ capsule_id }) => [{ ...request, capsules: [capsule_id] }],
      ownAnswer: true,
    },
    readProfile: { query: () => '?about_user_id=alice', ownAnswer: true },
  },
};
