import { message, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { onEmbedded } from '../support/database.ts';

// A9: the fast path. A10: bounded retrieval among 50,000 chunks.

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

const CHUNKS = 50_000;
const words =
  'limit queue candidate cache score index window budget query pool token shard replica merge vacuum plan cost page'.split(' ');
const filler = (i: number) =>
  Array.from({ length: 14 }, (_, j) => words[(i * 7 + j * j + ((i * j) % 11)) % words.length]).join(' ');

test(
  `A10 among ${CHUNKS} chunks and 500 decisions the right decision and a supporting chunk are found from a bounded pool`,
  async () => {
    const alice = await newTenant(daemon.url);
    const write = async (events: unknown[]) => {
      const { status, body } = await alice.request('POST', '/v1/events', { body: { events } });
      expect(status).toBe(201);
      return body.data as { event_id: string }[];
    };
    const decisionOf = (text: string) => ({ ...message('', { session_id: 'd' }), kind: 'decision', content: { decision: text } });
    for (let i = 0; i < 10_000; i += 1000)
      await write(
        Array.from({ length: 1000 }, (_, j) => message(`${filler(i + j)} ${i + j}`, { session_id: `s${(i + j) % 100}` })),
      );
    const [decision] = await write([decisionOf('candidate_pool_max is 2000: beyond that the ranking gains nothing')]);
    const [support] = await write([
      message('We measured it: raising candidate_pool_max above 2000 found no better answer.', { session_id: 'measuring' }),
    ]);
    await write(
      Array.from({ length: 499 }, (_, i) =>
        decisionOf(`the ${words[i % words.length]} of the ${words[(i * 5 + 3) % words.length]} pool is decided, case ${i}`),
      ),
    );
    for (let i = 10_000; i < CHUNKS - 501; i += 1000)
      await write(
        Array.from({ length: 1000 }, (_, j) => message(`${filler(i + j)} ${i + j}`, { session_id: `s${(i + j) % 100}` })),
      );

    const { body } = await alice.request('POST', '/v1/context', {
      body: {
        session_id: 'today',
        channel: 'private',
        query_text: 'Find the decision about candidate_pool_max',
        max_tokens: 8000,
      },
    });
    const section = (name: string) => body.sections.find((s: { name: string }) => s.name === name)?.items ?? [];
    expect(section('decisions')[0].refs).toContain(decision!.event_id);
    expect(section('retrieved_evidence').some((item: { refs: string[] }) => item.refs.includes(support!.event_id))).toBe(true);
    expect(body.provenance.candidate_pool_size).toBeLessThanOrEqual(2000);
    expect(body.provenance.retrieved).toBeLessThanOrEqual(200);
    expect(body.token_used).toBeLessThanOrEqual(8000);
  },
  onEmbedded() ? 300_000 : 180_000,
);

test('A9 with the intent `continue` and no query, the pool has at most 500 passages and the context is within its budget', async () => {
  const alice = await newTenant(daemon.url);
  for (let i = 0; i < 2; i += 1)
    await alice.request('POST', '/v1/events', {
      body: { events: Array.from({ length: 1000 }, (_, j) => message(`${filler(j)} ${i}`)) },
    });
  const { status, body } = await alice.request('POST', '/v1/context', {
    body: { session_id: 's1', channel: 'private', intent: 'continue', max_tokens: 3000 },
  });
  expect(status).toBe(200);
  expect(body.provenance.candidate_pool_size).toBeLessThanOrEqual(500);
  expect(body.token_used).toBeLessThanOrEqual(3000);
  const recent = body.sections.find((s: { name: string }) => s.name === 'recent_window').items;
  expect(recent.length).toBeGreaterThan(0);
});
