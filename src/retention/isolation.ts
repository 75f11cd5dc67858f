import type { Isolation } from '../feature.ts';

export const isolation: Isolation = {
  cases: {
    readRetention: { ownAnswer: true },
    setRetention: { body: () => ({ rules: [] }), ownAnswer: true },
    previewRetention: { body: () => ({ rules: [{ older_than_days: 0 }] }), ownAnswer: true },
    runRetention: { ownAnswer: true },
  },
};
