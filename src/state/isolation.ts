import type { Isolation } from '../feature.ts';

export const isolation: Isolation = {
  make: async ({ request }) => {
    const theirs = { namespace: 'namespace-of-state', key: 'key-of-state' };
    const body = { body: { text: 'alpha' }, channel: 'public' };
    await request('PUT', `/v1/state/${theirs.namespace}/${theirs.key}`, { body });
    return theirs;
  },
  holdings: ['/v1/state/namespace-of-state'],
  cases: {
    putState: { body: () => ({ body: 'of mallory' }), forgedOnly: true },
    readState: {},
    patchState: { body: () => ({ text: 'of mallory' }) },
    deleteState: {},
    listStateVersions: {},
    queryState: { body: ({ namespace }) => ({ namespace }), ownAnswer: true },
    changeStates: { body: ({ namespace, key }) => ({ operations: [{ op: 'delete', namespace, key }] }) },
    listState: { ownAnswer: true },
  },
};
