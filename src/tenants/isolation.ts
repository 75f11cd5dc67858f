import type { Isolation } from '../feature.ts';

export const isolation: Isolation = {
  holdings: ['/v1/tenant'],
  cases: {
    readTenant: { ownAnswer: true },
    changeTenant: { body: () => ({ language: 'english' }), ownAnswer: true },
    deleteTenant: { body: ({ tenant_id }) => ({ confirm: tenant_id }), forgedOnly: true },
    readUsage: { ownAnswer: true },
  },
};
