import type { Isolation } from '../feature.ts';

export const isolation: Isolation = {
  cases: { checkConsistency: { ownAnswer: true }, repairConsistency: { ownAnswer: true } },
};
