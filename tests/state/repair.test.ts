import { failedChecks, jobDone } from '../export/file.ts';
import { type Client, newTenant } from '../support/client.ts';
import { withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer } from '../support/database.ts';
import { testEngine } from '../support/engine.ts';
import { del, get, list, put, type Row } from './client.ts';

describeOnServer('a second connection damages the rows', () => {
  let daemon: TestDaemon;
  let alice: Client;
  beforeAll(async () => {
    daemon = await startTestDaemon();
  });
  beforeEach(async () => {
    alice = await newTenant(daemon.url);
    await put(alice, 'plan', { body: { n: 1 }, tags: { a: 'x' }, session_id: 's1' });
    await put(alice, 'plan', { body: { n: 2 }, tags: { a: 'y' }, ttl_seconds: 3600 });
    await put(alice, 'nothing', { body: null, channel: 'private' });
    await put(alice, 'gone', { body: 1 });
    await del(alice, 'gone');
  });
  afterAll(() => daemon.stop());

  const namesOf = async () => ((await failedChecks(alice)) as Row[]).map(({ name }) => name);

  async function damage(statement: string): Promise<void> {
    const engine = testEngine();
    if (engine.kind !== 'postgres') throw new Error('a second connection is needed');
    const { rowCount } = await withClient({ ...engine.cluster.admin, database: daemon.env.PGDATABASE! }, (client) =>
      client.query(statement.replaceAll('$tenant', `'${alice.tenant_id}'`)),
    );
    expect(rowCount).toBeGreaterThan(0);
  }

  const plan = `where tenant_id = $tenant and key = 'plan'`;

  test.each([
    ['a wrong body', `update state_objects set body = '7' ${plan}`, ['state_objects']],
    ['wrong tags', `update state_objects set tags = '{}' ${plan}`, ['state_objects']],
    ['a wrong expiry', `update state_objects set expires_at = null ${plan}`, ['state_objects']],
    ['a wider channel', `update state_objects set channel = 'public' ${plan}`, ['state_objects']],
    ['an earlier version', `update state_objects set version = 1, seq = 1 ${plan}`, ['state_objects']],
    [
      'a live object that was deleted',
      `update state_objects set life = 'live', body = '1' where tenant_id = $tenant and key = 'gone'`,
      ['state_objects'],
    ],
    ['a missing object', `delete from state_objects ${plan}`, ['state_objects']],
    ['a missing version', `delete from state_versions ${plan} and version = 1`, ['state_versions']],
    [
      'a version of another key',
      `update state_versions set key = 'other' ${plan} and version = 1`,
      ['state_objects', 'state_versions'],
    ],
    [
      'a version that never expires',
      `update state_versions set expires_at = null ${plan} and version = 2`,
      ['state_objects', 'state_versions'],
    ],
    ['a version marked as erased', `update state_versions set change = 'erased' ${plan} and version = 1`, ['state_versions']],
  ])('%s is found and repaired from the log', async (_, statement, expected) => {
    const before = [
      await list(alice, '?all_users=true'),
      (await get(alice, 'plan', '?at=1')).body,
      (await get(alice, 'gone')).status,
    ];
    expect(await namesOf()).toEqual([]);
    await damage(statement);
    expect((await namesOf()).sort()).toEqual(expected);
    const { body } = await alice.request('POST', '/v1/consistency/repair');
    expect((await jobDone(alice, body.job_id)).result).toMatchObject({ remaining: [] });
    expect([
      await list(alice, '?all_users=true'),
      (await get(alice, 'plan', '?at=1')).body,
      (await get(alice, 'gone')).status,
    ]).toEqual(before);
    expect((await put(alice, 'plan', { body: 3 })).body.version).toBe(3);
  });

  test('with secrets encrypted, state shows the redacted body, and its event reveals the original', async () => {
    const policy = await alice.request('PATCH', '/v1/tenant', { body: { settings: { secrets: { mode: 'encrypt' } } } });
    expect([policy.status, policy.body.detail]).toEqual([200, undefined]);
    const secret = `ghp_${'Ab1Cd2Ef3G'.repeat(4).slice(0, 36)}`;
    const written = await put(alice, 'token', { body: { note: `use ${secret}` } });
    expect([written.status, JSON.stringify(written.body).includes(secret), 'sealed' in written.body]).toEqual([
      201,
      false,
      false,
    ]);
    const { data } = (await alice.request('GET', '/v1/events?channel=team&order=desc&limit=1')).body;
    expect(JSON.stringify(data)).not.toContain(secret);
    const revealed = await alice.request('POST', `/v1/events/${data[0].event_id}/reveal`, { body: {} });
    expect([revealed.status, JSON.stringify(revealed.body).includes(secret)]).toEqual([200, true]);
    expect((await get(alice, 'token', `?at=${written.body.commit_seq}`)).body).not.toHaveProperty('sealed');
  });

  test('a body of more than 64 KiB is parsed and screened in a worker, and one beyond the limit of events returns 413', async () => {
    const body = { text: 'x'.repeat(200_000), list: Array.from({ length: 5000 }, (_, i) => i) };
    expect((await put(alice, 'large', { body })).status).toBe(201);
    expect((await get(alice, 'large')).body.body).toEqual(body);
    expect((await put(alice, 'larger', { body: Array.from({ length: 200 }, () => 'y'.repeat(60_000)) })).status).toBe(413);
  });
});
