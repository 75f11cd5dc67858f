import type { Isolation } from '../feature.ts';

const body = { ns: 'agent://alpha', ops: ['GET'], expires_in: 600 };

export const isolation: Isolation = {
  make: async ({ request }) => ({ jti: (await request('POST', '/v1/capabilities', { body })).body.jti }),
  holdings: ['/v1/capabilities'],
  cases: {
    mintCapability: { body: () => ({ ...body, ns: 'agent://mallory' }), ownAnswer: true },
    listCapabilities: { ownAnswer: true },
    revokeCapability: {},
  },
};
