import type { Isolation } from '../feature.ts';

const ofMallory = { kind: 'note', text: 'of mallory', channel: 'private' };

export const isolation: Isolation = {
  make: async ({ request }) => {
    const body = { kind: 'fact', text: 'alpha fact', channel: 'private' };
    return { memory_id: (await request('POST', '/v1/memories', { body })).body.memory_id };
  },
  holdings: ['/v1/memories?user_id=alice&status=any'],
  cases: {
    makeMemories: {
      body: () => ofMallory,
      ownAnswer: true,
      citing: ({ event_id, chunk_id, artifact_id, memory_id }) => [
        ...[event_id, chunk_id, artifact_id, memory_id].map((id) => ({ ...ofMallory, refs: [id] })),
        { ...ofMallory, supersedes: memory_id },
        { ...ofMallory, supersedes: event_id },
        { ...ofMallory, kind: 'fact', body: { contradicts: [memory_id] } },
        { ...ofMallory, kind: 'handoff', body: { to_agent: 'b', problem: 'p', refs: [memory_id] } },
        { memories: [ofMallory, { ...ofMallory, refs: [memory_id] }] },
      ],
    },
    listMemories: { query: () => '?channel=private&user_id=alice&session_id=s1', ownAnswer: true },
    readMemory: {},
    listMemoryVersions: {},
    listMemoryHistory: {},
    changeMemory: { body: () => ({ text: 'hers' }) },
    deleteMemory: {},
    supersedeMemory: { body: () => ofMallory },
    approveMemory: {},
    rejectMemory: {},
  },
};
