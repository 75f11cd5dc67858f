import type { Isolation } from '../feature.ts';

const figures = { open: 'data of the daemon, not of a tenant' };

export const isolation: Isolation = { cases: { readMetrics: figures, readMetricsAsJson: figures } };
