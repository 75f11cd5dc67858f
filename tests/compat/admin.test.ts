import { type Client, newColleague, newName, newTenant, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { compatClient, type Row } from './client.ts';

// The paths of AgentState for operators, on the port for operators.

const tenant_id = newName('admin');
let daemon: TestDaemon;
let alice: Client;
let admin: ReturnType<typeof compatClient>;
let agent: ReturnType<typeof compatClient>;
beforeAll(async () => {
  daemon = await startTestDaemon({ COMPAT_TENANT: tenant_id, DEV_MODE: 'true', ADMIN_PORT: '0' });
  alice = await newTenant(daemon.url, tenant_id);
  admin = compatClient(daemon.adminUrl!, alice.token);
  agent = compatClient(daemon.url, alice.token);
});
afterAll(() => daemon.stop());

test('a trim removes the log up to a snapshot, whose objects remain', async () => {
  for (const body of [1, 2, 3]) await agent.put({ id: 'a', type: 't', body });
  await agent.put({ id: 'gone', type: 't', body: 0 });
  await agent.del('gone');
  const { status, body } = await admin.call('POST', '/admin/snapshot');
  expect([status, body]).toEqual([200, { snapshot_id: body.snapshot_id, commit_seq: 5, last_seq: 5 }]);
  expect(body.snapshot_id).toMatch(/^snap-[0-9a-z]{26}$/);
  await agent.put({ id: 'a', type: 't', body: 4 });

  const manifest = (await admin.call('GET', '/admin/manifest')).body;
  expect(manifest).toMatchObject({ current_snapshot: body.snapshot_id, snapshot_bookmark: 5 });
  expect(manifest.segments).toEqual([{ name: 'log', min_seq: 1, max_seq: manifest.last_seq }]);

  const trimmed = await admin.call('POST', `/admin/trim-wal?snapshot_id=${body.snapshot_id}`);
  expect([trimmed.status, trimmed.body]).toEqual([200, expect.objectContaining({ deleted: ['1-5'], oldest_seq: 6 })]);
  expect((await admin.call('GET', '/admin/manifest')).body.segments[0].min_seq).toBe(6);
  expect((await agent.get('a')).body.body).toBe(4);
  expect((await agent.get('a', `?at=${body.snapshot_id}`)).body.body).toBe(3);
  const early = await agent.call('GET', '/v1/agent://demo/watch?from_commit=1');
  expect([early.status, early.body.oldest_seq]).toEqual([410, 6]);
  expect((await admin.call('POST', '/admin/trim-wal?snapshot_id=snap-unknown')).status).toBe(404);
  expect((await admin.call('POST', '/admin/trim-wal')).status).toBe(422);
});

test('a dump has one line per object, in all namespaces', async () => {
  await compatClient(daemon.url, alice.token, 'other').put({ id: 'b', type: 't', body: 'x' });
  const { status, headers, body } = await admin.call('GET', '/admin/dump');
  expect([status, headers.get('content-type')]).toEqual([200, 'application/x-ndjson']);
  const lines = body
    .trimEnd()
    .split('\n')
    .map((line: string) => JSON.parse(line));
  expect(lines.map(({ ns, id, type }: Row) => [ns, id, type])).toEqual([
    ['agent://demo', 'a', 't'],
    ['other', 'b', 't'],
  ]);
});

test('a plan names the conditions with an index, and the metric counts it', async () => {
  const filter = { tags: { team: 'x' }, jsonpath: { equals: { '$.n': 1 } } };
  const { body } = await admin.call('POST', '/admin/explain-query', { ns: 'agent://demo', filter });
  expect(body).toEqual({
    plan: [
      { op: 'filter', on: 'tags.team', index: 'tags' },
      { op: 'filter', on: 'jsonpath:$.n', index: null },
    ],
    indexes_hit: ['tags'],
    warnings: [],
  });
  expect((await admin.call('POST', '/admin/explain-query', { ns: 'x' })).body.warnings).toHaveLength(1);
  expect((await send<string>(daemon.adminUrl!, 'GET', '/metrics')).body).toMatch(/query_planner_micros_count 2\n/);
});

const requests = [
  ['POST', '/admin/snapshot', undefined],
  ['GET', '/admin/manifest', undefined],
  ['POST', '/admin/trim-wal?snapshot_id=a', undefined],
  ['GET', '/admin/dump', undefined],
  ['POST', '/admin/explain-query', { ns: 'x' }],
] as const;

test.each(requests)(
  '%s %s requires an admin of the tenant, also in DEV_MODE, and is on the port for operators alone',
  async (method, path, body) => {
    const bob = await newColleague(alice, newName('bob'));
    const stranger = await newTenant(daemon.url);
    const statuses = [undefined, bob.token, stranger.token].map(
      async (token) => (await compatClient(daemon.adminUrl!, token).call(method, path, body)).status,
    );
    expect(await Promise.all(statuses)).toEqual([401, 403, 403]);
    expect((await compatClient(daemon.url, alice.token).call(method, path, body)).status).toBe(404);
  },
);

test('a capability with ADMIN permits snapshots, and a dump only for all namespaces', async () => {
  const mint = async (ns: string) =>
    (await alice.request('POST', '/v1/capabilities', { body: { ns, ops: ['ADMIN'], expires_in: 600 } })).body.capability;
  const [one, all] = [await mint('agent://demo'), await mint('**')];
  const status = async (token: string, method: string, path: string) =>
    (await compatClient(daemon.adminUrl!, token).call(method, path)).status;
  expect(await status(one, 'POST', '/admin/snapshot')).toBe(200);
  expect([await status(one, 'GET', '/admin/dump'), await status(all, 'GET', '/admin/dump')]).toEqual([403, 200]);
  expect(await status(all, 'POST', '/admin/trim-wal?snapshot_id=a')).toBe(403);
});

test('snapshots, trims and dumps are in the audit stream', async () => {
  const actions = (await alice.request('GET', '/v1/audit?limit=200')).body.data.map(({ action }: Row) => action);
  expect(actions).toEqual(expect.arrayContaining(['snapshot.created', 'retention.begun', 'tenant.exported']));
});
