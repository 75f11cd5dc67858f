import type { Isolation } from '../feature.ts';

export const isolation: Isolation = {
  make: async ({ request }) => {
    const body = { name: 'alpha', value: 7, channel: 'public' };
    return { counter_id: (await request('POST', '/v1/counters', { body })).body.counter_id };
  },
  holdings: ['/v1/counters'],
  cases: {
    createCounter: { body: () => ({ name: 'of mallory', channel: 'public' }), ownAnswer: true },
    listCounters: { ownAnswer: true },
    readCounter: {},
    setCounter: { body: () => ({ value: 8, expected: 7 }) },
  },
};
