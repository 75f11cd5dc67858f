import type { Isolation } from '../feature.ts';

const message = (text: string, more: Record<string, unknown> = {}) => ({
  session_id: 's1',
  channel: 'private',
  actor: { type: 'human', id: 'alice' },
  kind: 'message',
  content: { text },
  ...more,
});

export const isolation: Isolation = {
  make: async ({ request }) => {
    const { event_id, chunk_ids } = (await request('POST', '/v1/events', { body: message('alpha secret plan') })).body;
    return { event_id, chunk_id: chunk_ids[0] };
  },
  holdings: ['/v1/events?user_id=alice', '/v1/events?channel=team'],
  cases: {
    recordEvents: {
      body: () => message('of mallory'),
      ownAnswer: true,
      citing: ({ event_id, chunk_id, artifact_id, memory_id }) => [
        ...[event_id, chunk_id, artifact_id, memory_id].map((id) => message('x', { refs: [id] })),
        { events: [message('x'), message('x', { refs: [event_id] })] },
        { ...message(''), kind: 'decision', content: { decision: 'x', supersedes: event_id } },
      ],
    },
    listEvents: { query: () => '?channel=private&user_id=alice&session_id=s1&after=0', ownAnswer: true },
    readEvent: {},
    revealEvent: {},
  },
};
