import { type Client, message, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';
import { type ModelServer, startModelServer } from './model_server.ts';
import { modelEnv } from './open_models.ts';

// Search with an embedding and a reranking model, over HTTP.

let embedding: ModelServer;
let reranking: ModelServer;
let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  [embedding, reranking] = await Promise.all([startModelServer(), startModelServer()]);
  daemon = await startTestDaemon({ ...modelEnv(embedding.url), RERANK_URL: reranking.url, BREAKER_FAILURE_THRESHOLD: '1000' });
});
beforeEach(async () => {
  for (const server of [embedding, reranking]) server.behave(undefined);
  // keeps the order
  reranking.behave(({ body }, res) => {
    res.end(JSON.stringify({ results: body.documents!.map((_, index) => ({ index, relevance_score: 1 - index / 1000 })) }));
    return true;
  });
  alice = await newTenant(daemon.url);
});
afterAll(async () => {
  await daemon.stop();
  await Promise.all([embedding.kill(), reranking.kill()]);
});

/** Records texts and waits until they are embedded. */
async function record(texts: string[], more: object = {}): Promise<void> {
  await alice.request('POST', '/v1/events', { body: { events: texts.map((text) => ({ ...message(text), ...more })) } });
  const { body } = await alice.request('GET', '/v1/events?limit=1000&order=desc');
  const last = body.data[0].seq as number;
  await eventually(async () => {
    const { checks } = (await alice.request('GET', '/v1/consistency')).body;
    return checks.find(({ name }: { name: string }) => name === 'embeddings').checked >= last;
  }, 'the embeddings');
}

const find = async (query: string, more: object = {}, by = alice) =>
  (await by.request('POST', '/v1/search', { body: { query, ...more } })).body;
const textsOf = ({ data }: Record<string, any>): string[] => data.map(({ text }: { text: string }) => text);

const filler = [
  'Rain fell over the northern harbour',
  'Bread needs flour and yeast',
  'Trains leave every morning',
  'Birds sing near windows',
  'Music played until midnight',
  'Paint dries slowly outside',
];

test('a passage is found by its meaning, without a common word', async () => {
  await record([...filler, 'Our manager resigned yesterday']);
  const found = await find('boss resigns');
  expect(found).toMatchObject({ answered: true, degraded: [] });
  expect(textsOf(found)[0]).toBe('Our manager resigned yesterday');
  expect(textsOf(await find('boss'))[0]).toBe('Our manager resigned yesterday');
});

test('a query that nothing answers finds nothing, although every passage has a vector', async () => {
  await record(filler);
  expect(await find('quantum zebra')).toMatchObject({ data: [], answered: false, degraded: [] });
});

test('a passage with the words of the query stays first', async () => {
  await record([...filler, 'The manager spoke', 'The boss spoke']);
  expect(textsOf(await find('boss'))[0]).toBe('The boss spoke');
});

test('closeness finds nothing outside of what the caller may see and asked for', async () => {
  await record(filler, { channel: 'team', session_id: 's2' });
  await record(['The manager sold the automobile']);
  await record(['Our manager resigned yesterday'], { channel: 'team', session_id: 's2' });
  const bob = await newColleague(alice);
  for (const found of [await find('boss', { channel: 'team' }, bob), await find('boss', { session_id: 's2' })]) {
    expect(textsOf(found)[0]).toBe('Our manager resigned yesterday');
    expect(textsOf(found)).not.toContain('The manager sold the automobile');
  }
});

test('while passages wait for their vectors, the answer says so, and a context names the models', async () => {
  await record(filler);
  const isPassage = (input: string[] | undefined) => input?.[0]?.startsWith('passage: ') === true;
  embedding.behave(({ body }, res) => isPassage(body.input) && Boolean(res.writeHead(503).end()));
  await alice.request('POST', '/v1/events', { body: message('Our manager resigned yesterday') });
  expect((await find('boss')).degraded).toEqual(['vectors']);
  const readContext = async () => (await alice.request('POST', '/v1/context', { body: { query: 'boss' } })).body;
  expect(await readContext()).toMatchObject({
    degraded: ['vectors'],
    provenance: { models: { embeddings: 'model-a', rerank: 'default' } },
  });
  embedding.behave(undefined);
  await eventually(async () => (await find('boss')).degraded.length === 0, 'the vector');
  expect(textsOf(await find('boss'))[0]).toBe('Our manager resigned yesterday');
  expect((await readContext()).degraded).toEqual([]);
});

test('an endpoint that does not answer costs the closeness alone, and the answer says so', async () => {
  await record([...filler, 'Our manager resigned yesterday', 'The boss spoke']);
  embedding.behave((_, res) => Boolean(res.writeHead(500).end()));
  const found = await find('this boss');
  expect(found.degraded).toEqual(['embeddings']);
  expect(textsOf(found)).toContain('The boss spoke');
  const { body } = await alice.request('POST', '/v1/context', { body: { query: 'which boss spoke' } });
  expect(body).toMatchObject({ answered: true, degraded: ['embeddings'] });
});

test('a search in a worker uses the models of the main thread', async () => {
  await record([...filler, 'Our manager resigned yesterday']);
  const found = await find('boss', { limit: 100 });
  expect(textsOf(found)[0]).toBe('Our manager resigned yesterday');
  embedding.behave((_, res) => Boolean(res.writeHead(500).end()));
  expect((await find('another boss', { limit: 100 })).degraded).toEqual(['embeddings']);
});

test('the reranker orders the best hits, whose scores still descend', async () => {
  await record(['the ship sails at noon', 'the ship sails at dawn', 'the ship sails at dusk']);
  const before = await find('ship sails');
  reranking.behave(({ body }, res) => {
    const results = body.documents!.map((text, index) => ({
      index,
      relevance_score: text.includes('dusk') ? 1 : text.length / 100,
    }));
    res.end(JSON.stringify({ results }));
    return true;
  });
  const found = await find('ship sails');
  expect(textsOf(found)[0]).toBe('the ship sails at dusk');
  const scores = found.data.map(({ score }: { score: number }) => score);
  expect(scores).toEqual(before.data.map(({ score }: { score: number }) => score));
  // the answer may have fewer hits than were reranked
  expect(textsOf(await find('ship sails', { limit: 1 }))).toEqual(['the ship sails at dusk']);
});

test('without the reranker the order stays, and the answer says so', async () => {
  await record(['the ship sails at noon', 'the ship sails at dawn']);
  const before = await find('ship sails');
  reranking.behave((_, res) => Boolean(res.end('{}')));
  const found = await find('ship sails');
  expect(found).toEqual({ ...before, degraded: ['rerank'] });
});

test('a quoted phrase is not reranked', async () => {
  await record(['the ship sails at noon', 'the ship sails at dawn']);
  const asked = reranking.asked.length;
  await find('"sails at noon" ship');
  expect(reranking.asked).toHaveLength(asked);
});
