import type { Isolation } from '../feature.ts';

const probe = { open: 'tells of the daemon, of no tenant' };

export const isolation: Isolation = {
  cases: {
    readHealth: probe,
    readLive: probe,
    readLiveness: probe,
    readHealthReady: probe,
    readReadiness: probe,
    readReady: probe,
  },
};
