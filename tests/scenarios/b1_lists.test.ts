import { type Client, message, newTenant, send } from '../support/client.ts';
import { withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer } from '../support/database.ts';
import { testEngine } from '../support/engine.ts';

// B1: a list reports a row that was corrupted in the database as unreadable, and returns the other rows.

let daemon: TestDaemon;
let alice: Client;
async function damage(statement: string, id: string): Promise<void> {
  const engine = testEngine();
  if (engine.kind !== 'postgres') throw new Error('a second connection is needed');
  const { rowCount } = await withClient({ ...engine.cluster.admin, database: daemon.env.PGDATABASE! }, (client) =>
    client.query(`${statement.replace('$id', '$2')} and tenant_id = $1`, [alice.tenant_id, id]),
  );
  expect(rowCount).toBe(1);
}

const made = async (path: string, body: unknown) => {
  const answer = await alice.request('POST', path, { body });
  expect([path, answer.status, answer.body.detail]).toEqual([path, expect.any(Number), undefined]);
  return answer.body;
};

interface Way {
  path: string;
  id: string;
  table: string;
  /** True if the object can be read by id. */
  one: boolean;
  make(): Promise<any>;
}

const ways = async (): Promise<Way[]> => {
  const { event_id } = await made('/v1/events', message('to edit', { channel: 'team' }));
  const capsule = { items: [event_id], audience: 'all', channel: 'team' };
  const edit = { target: event_id, op: 'retract', reason: 'x' };
  const key = { name: 'k', role: 'member', scopes: ['read'] };
  return [
    { path: '/v1/capsules', id: 'capsule_id', table: 'capsules', one: true, make: () => made('/v1/capsules', capsule) },
    { path: '/v1/edits', id: 'edit_id', table: 'edits', one: true, make: () => made('/v1/edits', edit) },
    { path: '/v1/jobs', id: 'job_id', table: 'jobs', one: true, make: () => made('/v1/consistency/repair', undefined) },
    {
      path: '/v1/webhooks',
      id: 'webhook_id',
      table: 'webhooks',
      one: true,
      make: () => made('/v1/webhooks', { url: 'http://127.0.0.1:9/' }),
    },
    { path: '/auth/api-keys', id: 'key_id', table: 'api_keys', one: false, make: () => made('/auth/api-keys', key) },
    {
      path: '/auth/invites',
      id: 'invite_id',
      table: 'invites',
      one: false,
      make: () => made('/auth/invites', { role: 'member' }),
    },
  ];
};

describeOnServer('the daemon uses the only session, so the test cannot write to its tables', () => {
  beforeAll(async () => {
    daemon = await startTestDaemon({ WEBHOOK_ALLOW_PRIVATE: 'true' });
    alice = await newTenant(daemon.url);
  });
  afterAll(() => daemon.stop());

  test('each list reports a row with an unreadable time', async () => {
    for (const { path, id, table, one, make } of await ways()) {
      const [bad, good] = [await make(), await make()];
      await damage(`update ${table} set created_at = 'infinity' where ${id} = $id`, bad[id]);
      const { status, body } = await alice.request('GET', path);
      expect([path, status]).toEqual([path, 200]);
      expect(body.unreadable).toHaveLength(1);
      const ids = body.data.map((row: Record<string, string>) => row[id]);
      expect([path, ids.includes(good[id]), ids.includes(bad[id])]).toEqual([path, true, false]);
      if (!one) continue;
      expect([path, (await alice.request('GET', `${path}/${good[id]}`)).status]).toEqual([path, 200]);
      expect([path, (await alice.request('GET', `${path}/${bad[id]}`)).status]).toEqual([path, 410]);
    }
  });

  test('a key with an unreadable expiry authenticates nobody', async () => {
    const key = await made('/auth/api-keys', {
      name: 'k2',
      role: 'member',
      scopes: ['read'],
      expires_at: '2999-01-01T00:00:00Z',
    });
    await damage(`update api_keys set expires_at = '-infinity' where key_id = $id`, key.key_id);
    const { status } = await send(alice.url, 'GET', '/v1/events', { headers: { 'X-API-Key': key.api_key } });
    expect(status).toBe(401);
  });
});
