import type { Isolation } from '../feature.ts';

export const isolation: Isolation = {
  cases: {
    search: { body: () => ({ query: 'the secret plan', user_id: 'alice', session_id: 's1' }), ownAnswer: true },
    readChunk: {},
  },
};
