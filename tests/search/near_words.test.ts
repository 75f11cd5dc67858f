import { nearWords } from '../../src/search/near_words.ts';
import { planSearch, type Survey } from '../../src/search/plan.ts';
import { type Client, message, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// Words of similar meaning: from the table to the answer of a search.

const wordsOf = (word: string) => nearWords(word).map((near) => near.word);

test('the table has up to 40 words of each stem, the nearest first', () => {
  expect(wordsOf('boss')).toEqual(expect.arrayContaining(['supervisor', 'leader', 'chief']));
  expect(wordsOf('doctor')[0]).toBe('physician');
  const near = nearWords('pet');
  expect(near.length).toBeLessThanOrEqual(40);
  expect(near.map(({ cosine }) => cosine)).toEqual(near.map(({ cosine }) => cosine).toSorted((a, b) => b - a));
  expect(near.every(({ cosine, rank }) => cosine >= 0.299 && cosine < 1 && rank >= 1)).toBe(true);
  expect(near.map(({ word }) => word)).not.toContain('pet');
});

test.each(['', 'qwertzuiop', 'kind', 'the', '日本', '__proto__'])('the table has no words near %j', (word) => {
  expect(nearWords(word)).toEqual([]);
});

test.each([
  ['friday', 'monday', 'weekend'],
  ['bergen', 'trondheim', 'fjord'],
])('of the words near the name %j, %j is left out as another name, and %j is present', (name, other, common) => {
  expect(wordsOf(name)).not.toContain(other);
  expect(wordsOf(name)).toContain(common);
});

describe('planSearch', () => {
  const surveyOf = (matching: number, visible: number): Survey => ({
    as_of_seq: visible,
    partial_index: false,
    terms: ['boss'],
    keys: [1],
    scale: 1,
    sampled: visible,
    seqs: Array.from({ length: visible }, (_, i) => i + 1),
    masks: Array.from({ length: visible }, (_, i) => (i < matching ? 1 : 0)),
    rest: [],
    name_keys: [],
    min_score: 0,
  });

  test('near words select passages as far as the pool stays small', () => {
    const small = planSearch(surveyOf(1, 2_000));
    expect(small.near_full).toEqual(small.near);
    expect(small.near).toContain('supervisor');
    const some = planSearch(surveyOf(1, 50_000));
    expect(some.near_full.length).toBeGreaterThan(0);
    expect(some.near_full.length).toBeLessThan(some.near.length);
    expect(some.near.slice(0, some.near_full.length)).toEqual(some.near_full);
    // too many matches for a pool with all of them
    const large = planSearch(surveyOf(5_000, 50_000));
    expect(large.near_full).toEqual([]);
    expect(large.near).not.toEqual([]);
  });
});

describe('over HTTP', () => {
  let daemon: TestDaemon;
  let alice: Client;
  beforeAll(async () => {
    daemon = await startTestDaemon();
    alice = await newTenant(daemon.url);
  });
  afterAll(() => daemon.stop());

  const search = async (client: Client, query: string) => {
    const { status, body } = await client.request('POST', '/v1/search', { body: { query } });
    expect(status).toBe(200);
    return body.data.map((hit: any) => hit.text);
  };

  test('"boss" finds a supervisor, after a passage with the word itself', async () => {
    for (const text of ['My supervisor praised the report.', 'The weather was fine all week.', 'Lunch with the boss on Friday.'])
      expect((await alice.request('POST', '/v1/events', { body: message(text, { session_id: text }) })).status).toBe(201);
    expect(await search(alice, 'boss')).toEqual(['Lunch with the boss on Friday.', 'My supervisor praised the report.']);
    expect(await search(alice, 'physician')).toEqual([]);
  });

  test('a word that occurs nowhere finds words that are less near', async () => {
    const bob = await newTenant(daemon.url);
    expect((await bob.request('POST', '/v1/events', { body: message('My manager praised the report.') })).status).toBe(201);
    expect(await search(bob, 'boss')).toEqual(['My manager praised the report.']);
  });

  test('a tenant of another language gets no near words', async () => {
    const other = await newTenant(daemon.url);
    expect((await other.request('PATCH', '/v1/tenant', { body: { language: 'german' } })).status).toBe(200);
    expect((await other.request('POST', '/v1/events', { body: message('My supervisor praised the report.') })).status).toBe(201);
    expect(await search(other, 'boss')).toEqual([]);
    expect(await search(other, 'supervisor')).toHaveLength(1);
  });
});
