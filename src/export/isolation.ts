import type { Isolation } from '../feature.ts';

export const isolation: Isolation = {
  cases: {
    exportTenant: { ownAnswer: true },
    importTenant: {
      // A file cannot reach another tenant: all of its rows go to the caller's tenant, which must be empty.
      body: () => '{"type":"header"}\n',
      forgedOnly: true,
    },
  },
};
