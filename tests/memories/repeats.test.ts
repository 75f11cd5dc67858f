import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig } from '../../src/config.ts';
import { openDatabase } from '../../src/db/index.ts';
import { createLogger } from '../../src/log.ts';
import { sweepMemories } from '../../src/memories/sql.ts';
import { edit } from '../edits/client.ts';
import { exportTenant, linesOf } from '../export/file.ts';
import { type Client, message, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer } from '../support/database.ts';

// Memories that are repeated very often, or that expire in large numbers, delay neither changes of them nor other writes.

let daemon: TestDaemon;
let alice: Client;
let bob: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
  bob = await newColleague(alice);
});
afterAll(() => daemon.stop());

const fact = (text: string, more: Record<string, unknown> = {}) => ({ kind: 'fact', text, channel: 'team', ...more });
const request = (body: unknown, by = alice, headers?: Record<string, string>) =>
  by.request('POST', '/v1/memories', { body, ...(headers && { headers }) });
const get = (id: string, by = alice) => by.request('GET', `/v1/memories/${id}`);
const search = async (query: string) =>
  (await alice.request('POST', '/v1/search', { body: { query, channel: 'team' } })).body.data.map((hit: any) => hit.text);

/** Records the same text 1,300 times as bob. Returns the id of the memory. */
async function repeatOften(text: string): Promise<string> {
  for (const n of [300, 1000]) {
    const answer = await request({ memories: Array.from({ length: n }, () => fact(text)) }, bob);
    if (answer.status !== 201) throw new Error(`${n} ${JSON.stringify(answer.body)}`);
    expect([answer.status, new Set(answer.body.data.map((m: any) => m.memory_id)).size]).toEqual([201, 1]);
  }
  const [memory] = (await alice.request('GET', '/v1/memories?channel=team')).body.data;
  return memory.memory_id;
}

test('1,300 repeats create 257 versions; the other events have no text', async () => {
  const id = await repeatOften('walruses swim at dawn');
  expect((await get(id)).body).toMatchObject({ version: 257, repeats: 1299, text: 'walruses swim at dawn' });
  const { data } = (await alice.request('GET', '/v1/events?channel=team&after=257&limit=1000')).body;
  expect(new Set(data.map((e: any) => JSON.stringify([e.chunk_ids, e.content.text, e.content.memory_id])))).toEqual(
    new Set([JSON.stringify([[], undefined, id])]),
  );
});

test.each([
  ['retracted', (id: string) => edit(alice, id, 'retract'), 404],
  ['deleted', (id: string) => alice.request('DELETE', `/v1/memories/${id}`), 410],
  ['changed', (id: string) => alice.request('PATCH', `/v1/memories/${id}`, { body: { text: 'seals rest' } }), 200],
] as const)('a memory with 1,300 repeats can be %s', async (_, end, status) => {
  const id = await repeatOften('walruses swim at dawn');
  await end(id);
  expect((await get(id, bob)).status).toBe(status);
  expect(await search('walruses')).toEqual([]);
  const { data } = (await bob.request('GET', '/v1/events?channel=team&limit=1000')).body;
  if (status === 404) expect(JSON.stringify(data)).not.toContain('walruses');
});

test('a change resets the count of repeats', async () => {
  const id = await repeatOften('walruses swim at dawn');
  await alice.request('PATCH', `/v1/memories/${id}`, { body: { text: 'seals rest' } });
  const again = await request(fact('seals rest', { user_id: undefined }), bob);
  expect(again.body).toMatchObject({ memory_id: id, version: 259, repeats: 1 });
  expect(await search('seals')).toContain('seals rest');
});

test('a replay of a repeat that was only counted returns the first response, for memories and decisions', async () => {
  const id = await repeatOften('walruses swim at dawn');
  const [first, retry] = [
    await request(fact('walruses swim at dawn'), bob, { 'idempotency-key': 'k1' }),
    await request(fact('walruses swim at dawn'), bob, { 'idempotency-key': 'k1' }),
  ];
  expect([first.status, first.body.memory_id, first.body.version]).toEqual([201, id, 257]);
  expect([retry.headers.get('idempotent-replay'), retry.body]).toEqual(['true', first.body]);
  const decide = { ...message(''), channel: 'team', kind: 'decision', content: { decision: 'we sail at noon' } };
  const record = (events: unknown, key: string) =>
    bob.request('POST', '/v1/events', { body: events, headers: { 'idempotency-key': key } });
  await record({ events: Array.from({ length: 300 }, () => decide) }, 'k2');
  const [one, two] = [await record(decide, 'k3'), await record(decide, 'k3')];
  expect([one.status, one.body.chunk_ids, one.body.memory_id]).toEqual([201, [], expect.stringMatching(/^mem_/)]);
  expect([two.headers.get('idempotent-replay'), two.body]).toEqual(['true', one.body]);
  const read = (await bob.request('GET', `/v1/events/${one.body.event_id}`)).body;
  expect([read.content.decision, read.chunk_ids]).toEqual(['we sail at noon', []]);
});

test('every response about a memory names one event, which is at its seq: first, repeated, changed and superseded', async () => {
  const seqOf = async (event_id: string) => (await alice.request('GET', `/v1/events/${event_id}`)).body.seq;
  const first = (await request(fact('walruses swim'))).body;
  const id = first.memory_id;
  const views = [first, (await request(fact('walruses swim'))).body, (await get(id)).body];
  views.push((await alice.request('PATCH', `/v1/memories/${id}`, { body: { importance: 0.9 } })).body);
  const supersede = { text: 'walruses sleep', kind: 'fact', channel: 'team' };
  const next = (await alice.request('POST', `/v1/memories/${id}/supersede`, { body: supersede })).body;
  for (const one of [id, next.memory_id]) views.push(...(await alice.request('GET', `/v1/memories/${one}/versions`)).body.data);
  expect(views.map(({ version }) => version)).toEqual([1, 2, 2, 3, 1, 2, 3, 4, 1]);
  for (const { event_id, seq } of views) expect(await seqOf(event_id)).toBe(seq);
});

test('a text repeated in the request that supersedes its memory creates a new memory', async () => {
  const id = await repeatOften('walruses swim at dawn');
  const both = await request({ memories: [fact('walruses sleep', { supersedes: id }), fact('walruses swim at dawn')] }, bob);
  expect(both.body.data.map((m: any) => [m.text, m.version])).toEqual([
    ['walruses sleep', 1],
    ['walruses swim at dawn', 1],
  ]);
  expect((await search('walruses')).toSorted()).toEqual(['walruses sleep', 'walruses swim at dawn']);
});

const statuses = async () =>
  linesOf(await exportTenant(alice)).flatMap(({ type, status }) => (type === 'memory' ? [status] : []));

test('a write expires only the memories that it repeats', async () => {
  const soon = new Date(Date.now() + 3_000).toISOString();
  const old = (await request({ memories: ['a', 'b', 'c', 'd'].map((text) => fact(text, { expires_at: soon })) })).body.data;
  await sleep(Date.parse(soon) - Date.now() + 20);
  const again = await request(fact('a'));
  expect([again.body.version, again.body.memory_id === old[0].memory_id]).toEqual([1, false]);
  expect((await statuses()).toSorted()).toEqual(['active', 'active', 'active', 'active', 'expired']);
  expect((await get(old[1].memory_id)).body.status).toBe('expired');
  expect((await alice.request('GET', '/v1/memories?channel=team')).body.data).toHaveLength(1);
});

describeOnServer('the test needs a second connection', () => {
  test('the sweep expires memories up to its limit', async () => {
    const soon = new Date(Date.now() + 3_000).toISOString();
    await request({ memories: ['a', 'b', 'c', 'd'].map((text) => fact(text, { expires_at: soon })) });
    await sleep(Date.parse(soon) - Date.now() + 20);
    const env = { NODE_ENV: 'test', JWT_SECRET: 'only-for-tests-0123456789abcdefghijklmnop', ...daemon.env };
    const database = await openDatabase(loadConfig(env), createLogger('silent'));
    const tenant = database.tenants(alice.tenant_id);
    expect([await sweepMemories(tenant, 3), await sweepMemories(tenant, 3), await sweepMemories(tenant, 3)]).toEqual([3, 1, 0]);
    await database.close();
    expect(await statuses()).toEqual(['expired', 'expired', 'expired', 'expired']);
  });
});
