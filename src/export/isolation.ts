import type { Isolation } from '../feature.ts';

export const isolation: Isolation = {
  cases: {
    exportTenant: { ownAnswer: true },
    importTenant: {
      // theirs is not hers: a file that names another tenant's ids brings them into her own, and only into an empty one
      body: () => '{"type":"header"}\n',
      forgedOnly: true,
    },
  },
};
