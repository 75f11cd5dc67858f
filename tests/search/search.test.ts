import { type Client, message, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

const record = async (client: Client, ...events: unknown[]) => {
  const { status, body } = await client.request('POST', '/v1/events', { body: { events } });
  expect([status, body]).toEqual([201, expect.anything()]);
  return body.data as { event_id: string; seq: number; chunk_ids: string[] }[];
};
const search = async (client: Client, query: string, more: Record<string, unknown> = {}) => {
  const { status, body } = await client.request('POST', '/v1/search', { body: { query, ...more } });
  expect([status, body]).toEqual([200, expect.anything()]);
  return body.data as { id: string; event_id: string; text: string; score: number; scores?: Record<string, number> }[];
};
const texts = async (...asked: Parameters<typeof search>) => (await search(...asked)).map(({ text }) => text);

test('of two messages that match a query equally, the later ranks first, whatever their values and sessions', async () => {
  const alice = await newTenant(daemon.url);
  const [old, other, update] = [
    'The staging port is 8080',
    'Lunch was good',
    'Since Monday the port of staging is 9090, because 8080 was taken',
  ];
  await record(alice, message(old!), message(other!, { session_id: 's2' }), message(update!, { session_id: 's3' }));
  expect(await texts(alice, 'Which port does staging use?')).toEqual([update, old]);
});

test('a passage matches by any word of the query in any inflected form, and the best hit comes first', async () => {
  const alice = await newTenant(daemon.url);
  await record(
    alice,
    message('The sky was grey'),
    message('We adopted two cats from the shelter'),
    message('A shelter for bikes'),
  );
  expect((await texts(alice, 'Which cat shelters did we use for adopting?'))[0]).toBe('We adopted two cats from the shelter');
});

test('a query matches a passage by its actor, date, tag, kind and the parts of a name', async () => {
  const alice = await newTenant(daemon.url);
  const noise = Array.from({ length: 30 }, (_, i) =>
    message(`nothing of note ${i}`, { session_id: `n${i}`, occurred_at: '2024-02-01T00:00:00Z' }),
  );
  await record(
    alice,
    ...noise,
    message('it went well', { session_id: 'a', actor: { type: 'human', id: 'Gwendolyn' } }),
    message('that was long', { session_id: 'b', occurred_at: '2023-05-08T10:00:00Z' }),
    message('fixed', { session_id: 'c', tags: ['topic:storage'] }),
    {
      ...message('', { session_id: 'd' }),
      kind: 'tool_call',
      content: { tool: 'readFileSync', arguments: { path: 'src/db/queryPlan.ts' } },
    },
  );
  expect((await texts(alice, 'How was it for Gwendolyn?'))[0]).toBe('it went well');
  expect((await texts(alice, 'What about 8 May 2023?'))[0]).toBe('that was long');
  expect((await texts(alice, 'storage'))[0]).toBe('fixed');
  expect((await texts(alice, 'the query plan'))[0]).toContain('queryPlan');
});

test('scope, channel, as_of and as_of_seq narrow what is searched', async () => {
  const alice = await newTenant(daemon.url);
  const [first] = await record(
    alice,
    message('green parrot one', { session_id: 'x', project_id: 'p', occurred_at: '2024-01-01T00:00:00Z' }),
  );
  await record(
    alice,
    message('green parrot two', { session_id: 'y', agent_id: 'planner', channel: 'public', occurred_at: '2024-06-01T00:00:00Z' }),
  );
  expect(await texts(alice, 'parrot', { session_id: 'x' })).toEqual(['green parrot one']);
  expect(await texts(alice, 'parrot', { project_id: 'p' })).toEqual(['green parrot one']);
  expect(await texts(alice, 'parrot', { agent_id: 'planner' })).toEqual(['green parrot two']);
  expect(await texts(alice, 'parrot', { channel: 'public' })).toEqual(['green parrot two']);
  expect(await texts(alice, 'parrot', { as_of: '2024-03-01T00:00:00Z' })).toEqual(['green parrot one']);
  expect(await texts(alice, 'parrot', { as_of_seq: first!.seq })).toEqual(['green parrot one']);
  expect(await texts(alice, 'parrot', { as_of_seq: 0 })).toEqual([]);
  expect(await texts(alice, 'parrot', { about_user_id: 'alice' })).toEqual(['green parrot one']);
});

test('private passages of another tenant or member are neither found nor readable by id', async () => {
  const [alice, stranger] = [await newTenant(daemon.url), await newTenant(daemon.url)];
  const bob = await newColleague(alice);
  const [secret] = await record(alice, message('the purple walrus is mine'));
  await record(alice, message('the team walrus', { channel: 'team' }));
  expect(await texts(stranger, 'walrus')).toEqual([]);
  expect(await texts(bob, 'walrus')).toEqual(['the team walrus']);
  expect(await texts(alice, 'walrus', { channel: 'team' })).toEqual(['the team walrus']);
  const path = `/v1/chunks/${secret!.chunk_ids[0]}`;
  expect((await alice.request('GET', path)).body).toMatchObject({
    text: 'the purple walrus is mine',
    refs: [secret!.event_id],
    ordinal: 0,
  });
  expect((await bob.request('GET', path)).status).toBe(404);
  expect((await stranger.request('GET', path)).status).toBe(404);
  expect((await alice.request('GET', '/v1/chunks/chk_nothing')).status).toBe(404);
});

test('a blank query returns 422 with its pointer', async () => {
  const alice = await newTenant(daemon.url);
  const { status, body } = await alice.request('POST', '/v1/search', { body: { query: ' \n ' } });
  expect([status, body.errors[0].pointer]).toEqual([422, '#/query']);
});

test.each([
  ['only stop words', 'what was it that we did?'],
  ['ten thousand words', Array.from({ length: 10_000 }, (_, i) => `w${i}`).join(' ')],
  ['operators', `a & | ! (b <-> :* 'c' \\ "d" -e <2> ''`],
  ['markup and code', '<b>Array<string></b>; drop table chunks; -- $1 %s {}'],
  ['emoji and marks', '😀👍🏽 \u202e ﷽ ‮'],
  ['a very long word', 'x'.repeat(60_000)],
])('a query of %s returns 200', async (_, query) => {
  const alice = await newTenant(daemon.url);
  await record(alice, message('something to find, w17'));
  expect((await search(alice, query)).length).toBeLessThanOrEqual(1);
});

test.each(['and the?', '?!', '… — ·', '\u200b\u2060'])(
  'a query without a searchable word (%j) returns no hits and the reason',
  async (query) => {
    const alice = await newTenant(daemon.url);
    await record(alice, ...Array.from({ length: 5 }, (_, i) => message(`turn ${i}`)));
    const { status, body } = await alice.request('POST', '/v1/search', { body: { query } });
    expect([status, body]).toEqual([200, { data: [], answered: false, reason: 'no_searchable_words', degraded: [] }]);
    const none = await alice.request('POST', '/v1/search', { body: { query: 'unheard' } });
    expect(none.body).toEqual({ data: [], answered: false, degraded: [] });
  },
);

test('a long output does not hide the messages about it, and `per_event` returns all its passages', async () => {
  const alice = await newTenant(daemon.url);
  const lines = Array.from({ length: 2500 }, (_, i) => `10:00:${i} ERROR payments timeout after ${i} ms`).join('\n');
  const [log, said] = await record(
    alice,
    { ...message(''), kind: 'tool_result', content: { tool: 'logs', excerpt_text: lines } },
    message('The payments timeout came from a pool of one connection', { session_id: 'said' }),
    ...Array.from({ length: 20 }, (_, i) => message(`something else ${i}`, { session_id: `s${i}` })),
  );
  const events = async (more = {}) =>
    (await search(alice, 'Why was there a payments timeout?', more)).map(({ event_id }) => event_id);
  const few = await events();
  expect(few.filter((id) => id === log!.event_id)).toHaveLength(2);
  expect(few[0]).toBe(said!.event_id);
  expect((await events({ per_event: 1 })).filter((id) => id === log!.event_id)).toHaveLength(1);
  expect((await events({ per_event: 50, limit: 20 })).filter((id) => id === log!.event_id).length).toBeGreaterThan(10);
  const { body } = await alice.request('POST', '/v1/context', {
    body: { session_id: 'later', channel: 'private', query_text: 'Why was there a payments timeout?' },
  });
  const evidence = body.sections.find(({ name }: { name: string }) => name === 'retrieved_evidence').items;
  expect(JSON.stringify(evidence[0].refs)).toContain(said!.event_id);
});

test('an unknown field returns 422, and `explain` adds the components of each score', async () => {
  const alice = await newTenant(daemon.url);
  const refused = await alice.request('POST', '/v1/search', { body: { query: 'x', rerank: true } });
  expect([refused.status, refused.body.errors]).toEqual([422, [{ pointer: '#/rerank', detail: expect.any(String) }]]);
  await record(alice, message('explain me'));
  const [hit] = await search(alice, 'explain', { explain: true });
  const { passage, around, session, cues, coverage } = hit!.scores! as Record<string, number>;
  const sum = (passage! + around! + session!) * cues! * coverage!;
  expect(hit!.score).toBeCloseTo(sum / (sum + 0.5));
});

test('a rare old passage is found among thousands that contain the common words of the query', async () => {
  const alice = await newTenant(daemon.url);
  const [old] = await record(alice, message('the invoice exporter was rewritten in zig', { session_id: 'old' }));
  for (let i = 0; i < 5; i += 1)
    await record(
      alice,
      ...Array.from({ length: 1000 }, (_, j) =>
        message(`the invoice page was rewritten again, take ${i} ${j}`, { session_id: `s${j % 50}` }),
      ),
    );
  expect((await search(alice, 'Why was the invoice exporter rewritten in zig?'))[0]!.event_id).toBe(old!.event_id);
}, 60_000);

test('scores are between 0 and 1, and min_score leaves out what matches little of the query, in a search, a context and by the tenant’s setting', async () => {
  const alice = await newTenant(daemon.url);
  await record(
    alice,
    message('The purple submarine surfaced near Lisbon at dawn', { session_id: 'a' }),
    message('Lisbon is warm', { session_id: 'b' }),
  );
  const query = 'purple submarine Lisbon dawn';
  const all = await search(alice, query);
  expect(all.map(({ text }) => text.slice(0, 10))).toEqual(['The purple', 'Lisbon is ']);
  expect(all.every(({ score }) => score > 0 && score <= 1)).toBe(true);
  const [weak] = await search(alice, 'is the weather warm or cold or wet in winter');
  expect(weak!.score).toBeLessThan(all[0]!.score);
  const min_score = (all[0]!.score + all[1]!.score) / 2;
  expect(await search(alice, query, { min_score })).toHaveLength(1);
  expect(await search(alice, query, { relevance_threshold: min_score })).toHaveLength(1);
  const none = await alice.request('POST', '/v1/search', { body: { query, min_score: 1 } });
  expect(none.body).toMatchObject({ data: [], answered: false });
  const both = await alice.request('POST', '/v1/search', { body: { query, min_score, relevance_threshold: min_score } });
  expect([both.status, both.body.errors]).toEqual([422, [expect.objectContaining({ pointer: '#/relevance_threshold' })]]);
  const context = await alice.request('POST', '/v1/context', { body: { session_id: 'x', query, min_score: 1 } });
  expect(context.body).toMatchObject({ answered: false, provenance: { retrieved: 0 } });
  expect((await alice.request('PATCH', '/v1/tenant', { body: { settings: { min_score } } })).status).toBe(200);
  expect(await search(alice, query)).toHaveLength(1);
  expect(await search(alice, query, { min_score: 0 })).toHaveLength(2);
});
