import type { Isolation } from '../feature.ts';

const asked = { session_id: 's1', channel: 'private' };

export const isolation: Isolation = {
  cases: {
    buildContext: {
      body: () => ({ ...asked, query_text: 'the secret plan', user_id: 'alice' }),
      citing: ({ capsule_id }) => [{ ...asked, capsules: [capsule_id] }],
      ownAnswer: true,
    },
  },
};
