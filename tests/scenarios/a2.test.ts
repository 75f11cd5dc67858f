import { message, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// A2: old but relevant items are found. 2,000 unrelated events and 500 other decisions that share words with the query bury one
// decision of two weeks ago and the conversation that led to it.

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

const question = 'Why did we avoid sqlite in v1?';
const day = 86_400_000;
const at = (ms: number) => new Date(ms).toISOString();
const pick = <T>(list: readonly T[], i: number): T => list[i % list.length]!;
const subjects = [
  'the billing page',
  'the weekly report',
  'our onboarding mail',
  'the search box',
  'the export job',
  'the login form',
  'the mobile menu',
];
const verbs = [
  'renders too slowly',
  'needs a new icon',
  'was moved to Thursday',
  'lost its footer',
  'got a second reviewer',
  'shows the wrong date',
];
const shared = [
  'we avoid weekend deployments in v1',
  'v1 ships without dark mode, why bother',
  'we did agree to avoid pop-ups',
  'v1 of the newsletter goes out monthly',
  'why we did keep the old logo in v1',
];

test('A2 the decision is first among decisions, with evidence from its time, and the first 5 hits contain nothing unrelated', async () => {
  const alice = await newTenant(daemon.url);
  const write = async (events: unknown[]) => {
    const { status, body } = await alice.request('POST', '/v1/events', { body: { events } });
    expect(status).toBe(201);
    return body.data as { event_id: string; seq: number }[];
  };
  const old = Date.now() - 14 * day;
  const talk = await write([
    message('Every time the laptop sleeps, sqlite leaves its lock file behind and the next start fails.', {
      session_id: 'storage',
      occurred_at: at(old),
    }),
    message('Then let us retrieve from plain files: no sqlite, nothing to install.', {
      session_id: 'storage',
      occurred_at: at(old + 60_000),
    }),
  ]);
  const [decision] = await write([
    {
      ...message('', { session_id: 'storage', occurred_at: at(old + 120_000) }),
      kind: 'decision',
      content: { decision: 'zero-dependency retrieval, no sqlite in v1', rationale: ['its lock files break after sleep'] },
    },
  ]);
  for (let block = 0; block < 2; block += 1)
    await write(
      Array.from({ length: 1000 }, (_, i) =>
        message(`${pick(subjects, i)} ${pick(verbs, i * 3 + block)}, see note ${i}`, {
          session_id: `s${i % 40}`,
          occurred_at: at(old + day + i * 60_000),
        }),
      ),
    );
  await write(
    Array.from({ length: 500 }, (_, i) => ({
      ...message('', { session_id: `d${i % 20}`, occurred_at: at(old + 2 * day + i * 60_000) }),
      kind: 'decision',
      content: { decision: `${pick(shared, i)}, number ${i}` },
    })),
  );

  const related = new Set([...talk, decision!].map(({ event_id }) => event_id));
  const search = await alice.request('POST', '/v1/search', { body: { query: question, limit: 5 } });
  const unrelated = search.body.data.filter((hit: { event_id: string }) => !related.has(hit.event_id));
  expect(search.body.data.length).toBeGreaterThanOrEqual(1);
  expect(search.body.data[0].event_id).toBe(decision!.event_id);
  expect(unrelated.filter((hit: { text: string }) => !/v1|avoid|why/i.test(hit.text))).toEqual([]);

  const { body } = await alice.request('POST', '/v1/context', {
    body: { session_id: 'today', channel: 'private', query_text: question, max_tokens: 4000 },
  });
  const section = (name: string) => body.sections.find((s: { name: string }) => s.name === name)?.items ?? [];
  expect(section('decisions')[0].refs).toContain(decision!.event_id);
  const evidence = section('retrieved_evidence').filter((item: { refs: string[] }) =>
    item.refs.some((ref) => talk.some(({ event_id }) => event_id === ref)),
  );
  expect(evidence.length).toBeGreaterThanOrEqual(1);
  expect(body.provenance.candidate_pool_size).toBeLessThanOrEqual(2000);
}, 120_000);
