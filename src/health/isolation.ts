import type { Isolation } from '../feature.ts';

const probe = { open: 'data of the daemon, not of a tenant' };

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
