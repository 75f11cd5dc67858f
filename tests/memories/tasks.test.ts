import { edit } from '../edits/client.ts';
import { type Client, message, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';

// Identity of tasks, and one task in progress per agent.

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

const task = (text: string, status: string, more: Record<string, unknown> = {}) => ({
  kind: 'task',
  text,
  body: { status },
  channel: 'team',
  agent_id: 'planner',
  ...more,
});
const request = (body: unknown, by = alice) => by.request('POST', '/v1/memories', { body });
const one = (on: boolean | null) => alice.request('PATCH', '/v1/tenant', { body: { settings: { one_doing_per_agent: on } } });

test('a guessed id or name of another user’s private task creates a new task', async () => {
  const hers = (await request(task('buy the company', 'open', { channel: 'private' }))).body;
  const update = (title: string, task_id?: string) =>
    bob.request('POST', '/v1/events', {
      body: { ...message(''), kind: 'task_update', content: { title, status: 'open', ...(task_id && { task_id }) } },
    });
  await update('x', hers.memory_id);
  const named = (await update('x', hers.memory_id)).body.memory_id;
  const guesses = [(await update('buy the company')).body.memory_id, (await update('sell the company')).body.memory_id];
  expect(new Set([named, ...guesses]).size).toBe(3);
});

test('a task can be updated by the id of its memory', async () => {
  const { memory_id } = (await request(task('write it', 'open'))).body;
  const moved = await request(task('write it all', 'doing', { body: { status: 'doing', task_id: memory_id } }));
  expect([moved.body.memory_id, moved.body.version]).toEqual([memory_id, 2]);
});

test('a private task in progress does not block the agents of other users; a shared one does', async () => {
  await one(true);
  const status = async (body: unknown, by: Client) => (await request(body, by)).status;
  expect([
    await status(task('a', 'doing', { channel: 'private' }), bob),
    await status(task('b', 'doing', { channel: 'private' }), alice),
    await status(task('c', 'doing', { channel: 'private' }), bob),
    await status(task('d', 'doing'), alice),
    await status(task('e', 'doing'), bob),
  ]).toEqual([201, 201, 409, 201, 409]);
});

test('enabling one_doing_per_agent counts tasks that are already in progress; disabling releases them', async () => {
  const [, b] = [(await request(task('a', 'doing'))).body, (await request(task('b', 'doing'))).body];
  await one(true);
  expect((await request(task('c', 'doing'))).status).toBe(409);
  expect((await request(task('b', 'done'))).body.memory_id).toBe(b.memory_id);
  expect((await request(task('c', 'doing'))).status).toBe(201);
  await one(null);
  expect((await request(task('d', 'doing'))).status).toBe(201);
  await one(true);
  expect((await request(task('e', 'doing'))).status).toBe(409);
});

test('changing one_doing_per_agent during writes causes no deadlock', async () => {
  const writes = Array.from({ length: 40 }, (_, i) => request(task(`t${i}`, 'doing', { agent_id: `agent-${i}` }), bob));
  const changes = Array.from({ length: 6 }, (_, i) => one(i % 2 === 0));
  expect((await Promise.all([...writes, ...changes])).filter(({ status }) => status >= 300)).toEqual([]);
});

test('a retracted or expired task does not count as in progress', async () => {
  await one(true);
  const first = (await request(task('a', 'doing'))).body;
  await edit(alice, first.memory_id, 'retract');
  const second = await request(task('b', 'doing'));
  expect(second.status).toBe(201);
  expect((await request(task('c', 'doing'))).status).toBe(409);
  const soon = { expires_at: new Date(Date.now() + 2_000).toISOString() };
  expect((await alice.request('PATCH', `/v1/memories/${second.body.memory_id}`, { body: soon })).status).toBe(200);
  await eventually(async () => (await request(task('c', 'doing'))).status === 201, 'the agent to be free');
});

test('a task with 600 updates can be deleted, and search finds only the newest', async () => {
  const moves = Array.from({ length: 600 }, (_, i) =>
    task('long', i % 2 ? 'doing' : 'blocked', { body: { status: i % 2 ? 'doing' : 'blocked', details: `walrus ${i}` } }),
  );
  await request({ memories: moves });
  await request(task('long', 'doing', { body: { status: 'doing', details: 'walrus last' } }));
  const found = async () =>
    (await alice.request('POST', '/v1/search', { body: { query: 'walrus long', channel: 'team' } })).body.data.map(
      (hit: any) => hit.text,
    );
  expect(await found()).toHaveLength(1);
  const [{ memory_id, version }] = (await alice.request('GET', '/v1/memories?channel=team')).body.data;
  expect(version).toBe(601);
  await alice.request('DELETE', `/v1/memories/${memory_id}`);
  expect(await found()).toEqual([]);
});
