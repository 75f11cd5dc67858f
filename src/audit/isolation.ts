import type { Isolation } from '../feature.ts';

export const isolation: Isolation = { cases: { listAudit: { ownAnswer: true } } };
