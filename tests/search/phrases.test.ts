import { phrasesIn } from '../../src/search/phrases.ts';
import { planSearch } from '../../src/search/plan.ts';
import { type Client, message, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

/** Records each text in a session of its own. */
async function record(...texts: string[]): Promise<void> {
  const events = texts.map((text, i) => message(text, { session_id: `s${i}` }));
  expect((await alice.request('POST', '/v1/events', { body: { events } })).status).toBe(201);
}
async function search(query: string, more = {}) {
  const { status, body } = await alice.request('POST', '/v1/search', { body: { query, ...more } });
  expect(status).toBe(200);
  return body.data as { text: string; score: number; scores?: Record<string, number> }[];
}
const textsOf = (hits: { text: string }[]) => hits.map(({ text }) => text);

const exact = 'Then there was a connection reset by peer, and the job of the night was lost with all of its results and logs';
const scattered = 'reset connection, peer connection reset';

test('a passage with the quoted phrase ranks before those with its words in another order', async () => {
  await record(exact, scattered);
  expect(textsOf(await search('connection reset by peer'))).toEqual([scattered, exact]);
  const [first, second] = await search('"connection reset by peer"', { explain: true });
  expect([first!.text, first!.scores!.phrases, second!.text, second!.scores!.phrases]).toEqual([exact, 1, scattered, 0]);
  expect(first!.score).toBeGreaterThanOrEqual(0.5);
  expect(second!.score).toBeLessThan(0.5);
});

test.each([
  '“connection reset by peer”',
  '„connection reset by peer“',
  '«connection reset by peer»',
  '「connection reset by peer」',
  '"CONNECTION  Reset by peer"',
  'why "Connection\nreset by péer" tonight?',
])('the phrase is found whatever its quotation marks, case, accents and spaces: %j', async (query) => {
  await record(exact, scattered);
  expect((await search(query))[0]!.text).toBe(exact);
});

test('if no passage has the phrase, the query finds its words with the same scores', async () => {
  await record(exact, scattered);
  const [plain, quoted] = [await search('connection peer reset'), await search('"connection peer reset"')];
  expect(quoted).toEqual(plain);
  expect(quoted).toHaveLength(2);
});

test('a phrase begins and ends at the ends of words, except in scripts without spaces', async () => {
  await record('the cat sat; concatenate the cats', 'a scatter plot: cat, sat', '小明在圣诞节晚会上跳舞', '跳上晚会');
  expect((await search('"the cat sat"', { explain: true }))[0]!.scores!.phrases).toBe(1);
  expect((await search('"he cat sat"', { explain: true }))[0]!.scores).not.toHaveProperty('phrases');
  expect(textsOf(await search('"晚会上跳"'))[0]).toBe('小明在圣诞节晚会上跳舞');
});

test('characters of regular expressions in a phrase stand for themselves', async () => {
  await record('see f(x) = [a-z]* for $1.50', 'see fx = b for 1 50');
  for (const query of ['"f(x) = [a-z]*"', '"$1.50"', '"see f(x)"'])
    expect([query, (await search(query, { explain: true }))[0]!.scores!.phrases]).toEqual([query, 1]);
  expect((await search('"see f.x"', { explain: true }))[0]!.scores).not.toHaveProperty('phrases');
});

test('a passage with more of the phrases ranks first, and min_score applies to the new score', async () => {
  await record('red wine and green tea', 'red wine, tea that is green', 'wine red, tea green');
  const hits = await search('"red wine" "green tea"', { explain: true });
  expect(hits.map(({ scores }) => scores!.phrases)).toEqual([2, 1, 0]);
  expect(textsOf(await search('"red wine" "green tea"', { min_score: 0.34 }))).toEqual([hits[0]!.text, hits[1]!.text]);
});

test('a phrase in the text of another user is not counted', async () => {
  await record('red wine by the sea');
  const bob = await newTenant(daemon.url);
  const { body } = await bob.request('POST', '/v1/search', { body: { query: '"red wine"' } });
  expect(body.data).toEqual([]);
});

test('a context for a query with a phrase puts its passage first', async () => {
  await record(exact, scattered);
  const { body } = await alice.request('POST', '/v1/context?render=text', {
    body: { session_id: 'x', channel: 'private', query_text: '"connection reset by peer"', max_tokens: 2000 },
  });
  expect(body.text.indexOf('of the night')).toBeGreaterThan(0);
});

test('phrases of a query: at most 8, without blank ones and those of more than 500 characters', () => {
  expect(phrasesIn('no quotes, 5" and more')).toEqual([]);
  expect(phrasesIn('"a b" and "a b" or "?!" or ""')).toEqual(['a b']);
  expect(phrasesIn(`"${'x'.repeat(501)}"`)).toEqual([]);
  expect(phrasesIn(Array.from({ length: 20 }, (_, i) => `"p${i}"`).join(' '))).toHaveLength(8);
});

test('in a large log the plan also finds passages with all terms of a phrase, unless its rarest term is frequent', () => {
  const masks = Array.from({ length: 2_048 }, (_, i) => (i % 2 === 0 ? 0b011 : 0) + (i < 4 ? 0b100 : 0));
  const survey = {
    as_of_seq: 2_048_000,
    partial_index: false,
    terms: ['new', 'thing', 'rare'],
    keys: [1, 2, 3],
    name_keys: [],
    min_score: 0,
    scale: 1_000,
    sampled: 2_048,
    seqs: masks.map((_, i) => i * 1_000 + 1),
    masks,
    rest: [],
  };
  expect(planSearch(survey, [[1, 3]]).full).toContain("('1' & '3')");
  expect(planSearch(survey, [[1, 2]]).full).toBeNull();
});
