import type { Isolation } from '../feature.ts';

const figures = { open: 'tells of the daemon, of no tenant' };

export const isolation: Isolation = { cases: { readMetrics: figures, readMetricsAsJson: figures } };
