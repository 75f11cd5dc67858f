import type { Isolation } from '../feature.ts';

export const isolation: Isolation = { cases: { listJobs: { ownAnswer: true }, readJob: {} } };
