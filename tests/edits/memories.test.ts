import { loadConfig } from '../../src/config.ts';
import { openDatabase } from '../../src/db/index.ts';
import { createLogger } from '../../src/log.ts';
import { rebuildTenant } from '../../src/passages/index.ts';
import { type Client, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { testOnServer } from '../support/database.ts';
import { chunk, decide, edit, listed, record, team } from './client.ts';

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

const createMemory = async (more: Record<string, unknown>, by = alice) => {
  const { status, body } = await by.request('POST', '/v1/memories', { body: { kind: 'rule', channel: 'team', ...more } });
  expect([status, body]).toEqual([201, expect.anything()]);
  return body as { memory_id: string; event_id: string; seq: number };
};
const search = async (query: string) =>
  (await bob.request('POST', '/v1/search', { body: { query, channel: 'team' } })).body.data.map(
    ({ text }: { text: string }) => text,
  );
const context = async (query_text: string) =>
  (await bob.request('POST', '/v1/context?render=text', { body: { session_id: 'other', channel: 'team', query_text } })).body
    .text as string;
const list = async (by = bob) =>
  (await by.request('GET', '/v1/memories?channel=team')).body.data.map(({ text }: { text: string }) => text);
const read = async ({ memory_id }: { memory_id: string }, by = bob) => {
  const { status, body } = await by.request('GET', `/v1/memories/${memory_id}`);
  return (status === 200 ? body : status) as any;
};

const OLD = 'always deploy walruses on Friday';
const NEW = 'never deploy otters on Monday';

test('an amended memory has the new text everywhere and is found only by its new words', async () => {
  const rule = await createMemory({ text: OLD });
  const { edit_id } = await edit(alice, rule.memory_id, 'amend', { text: NEW });
  expect(await read(rule)).toMatchObject({ text: NEW, version: 1, edit_ids: [edit_id] });
  expect([await list(), await search('otters Monday'), await search('walruses Friday')]).toEqual([[NEW], [NEW], []]);
  const text = await context('otters');
  expect([text.includes(NEW), text.includes('walrus')]).toEqual([true, false]);
  expect((await bob.request('GET', `/v1/memories/${rule.memory_id}/versions`)).body.data[0].text).toBe(NEW);
  expect((await alice.request('GET', `/v1/events/${rule.event_id}`)).body.content.text).toBe(OLD);
  await decide(alice, edit_id, 'revert');
  expect([(await read(rule)).text, await list(), await search('walruses'), await search('otters')]).toEqual([
    OLD,
    [OLD],
    [OLD],
    [],
  ]);
});

test('an amended passage has a new token count', async () => {
  const event = await record(alice, team('short'));
  const count = async () => (await bob.request('GET', `/v1/chunks/${event.chunk_ids[0]}`)).body.token_count;
  const before = await count();
  await edit(alice, event.event_id, 'amend', {
    text: 'a much longer sentence than the one that stood here before it was amended',
  });
  expect(await count()).toBeGreaterThan(before * 5);
});

test('a retracted memory and the events that repeat it are hidden; admins read it by id', async () => {
  const [rule, again] = [
    await createMemory({ text: OLD, session_id: 's1' }),
    await createMemory({ text: OLD, session_id: 's2' }),
  ];
  expect(again.memory_id).toBe(rule.memory_id);
  const { edit_id } = await edit(alice, rule.memory_id, 'retract');
  expect([await list(), await list(alice), await search('walruses'), await read(rule)]).toEqual([[], [], [], 404]);
  expect(await context('walruses Friday')).not.toContain('walrus');
  expect(await read(rule, alice)).toMatchObject({ text: OLD, status: 'active', marks: ['retracted'], edit_ids: [edit_id] });
  expect((await bob.request('PATCH', `/v1/memories/${rule.memory_id}`, { body: { pinned: true } })).status).toBe(404);
  const events = (await bob.request('GET', '/v1/events?channel=team')).body.data;
  expect(JSON.stringify(events)).not.toContain('walrus');
  await decide(alice, edit_id, 'revert');
  expect([await list(), (await read(rule)).text]).toEqual([[OLD], OLD]);
});

test('a quarantined memory is readable only by id, a blocked one only in other channels', async () => {
  const rule = await createMemory({ text: OLD, channel: 'public' });
  const inPublic = async () => (await bob.request('GET', '/v1/memories?channel=public')).body.data.length;
  const { edit_id } = await edit(alice, rule.memory_id, 'block', { channel: 'public' });
  expect([await inPublic(), await list()]).toEqual([0, [OLD]]);
  await decide(alice, edit_id, 'revert');
  await edit(alice, rule.memory_id, 'quarantine');
  expect([await inPublic(), await list(), await search('walruses')]).toEqual([0, [], []]);
  expect(await read(rule)).toMatchObject({ text: OLD, marks: ['quarantined'] });
});

test('a recorded decision is amended and retracted through its memory', async () => {
  const decision = await record(alice, {
    ...team(''),
    kind: 'decision',
    content: { decision: OLD, rationale: ['walruses like it'] },
  });
  await edit(alice, decision.memory_id, 'amend', { text: NEW });
  expect([(await read(decision)).text, await search('walruses'), await search('otters')]).toEqual([NEW, [], [NEW]]);
  expect(await context('otters')).toContain(NEW);
  await edit(alice, decision.memory_id, 'retract');
  expect([await read(decision), await search('otters')]).toEqual([404, []]);
  expect(await context('otters')).not.toContain('otters');
});

test('approving an edit of a memory that has changed since returns 409', async () => {
  const rule = await createMemory({ text: OLD });
  const pending = await edit(alice, rule.memory_id, 'amend', { text: NEW }, {});
  expect((await alice.request('PATCH', `/v1/memories/${rule.memory_id}`, { body: { text: 'deploy on Tuesday' } })).status).toBe(
    200,
  );
  expect((await decide(alice, pending.edit_id, 'approve')).status).toBe(409);
  expect((await read(rule)).text).toBe('deploy on Tuesday');
});

testOnServer('the test needs a second connection')('edits and the originals survive a rebuild of the index', async () => {
  const [amended, gone] = [
    await record(alice, team('the sky is green')),
    await record(alice, team('grass is blue', { session_id: 's2' })),
  ];
  const first = await edit(alice, amended.chunk_ids[0]!, 'amend', { text: 'the sky is blue' });
  const second = await edit(alice, gone.chunk_ids[0]!, 'retract');
  const rebuild = async () => {
    const log = createLogger('silent');
    const database = await openDatabase(loadConfig({ NODE_ENV: 'test', ...daemon.env }), log);
    await rebuildTenant(database.tenants(alice.tenant_id));
    await database.close();
  };
  await rebuild();
  expect([await chunk(bob, amended.chunk_ids[0]!), await chunk(bob, gone.chunk_ids[0]!)]).toEqual(['the sky is blue', 404]);
  expect([await search('sky'), await search('grass')]).toEqual([['the sky is blue'], []]);
  expect((await listed(bob, amended.seq)).content).toEqual({ text: 'the sky is blue' });
  for (const { edit_id } of [first, second]) await decide(alice, edit_id, 'revert');
  await rebuild();
  expect([await search('sky'), await search('grass')]).toEqual([['the sky is green'], ['grass is blue']]);
});
