import { erase, waitForJob } from '../erasure/support.ts';
import { done, trim } from '../retention/support.ts';
import { type Client, newColleague, newTenant, send } from '../support/client.ts';
import { type TestConnection, withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer } from '../support/database.ts';
import { testEngine } from '../support/engine.ts';
import { eventually } from '../support/eventually.ts';
import { acquire, record, release, renew } from './support.ts';

// What erasure, retention, kills, restores and sweeps do to leases.

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

const keysOf = async (client: Client) =>
  (await client.request('GET', '/v1/leases')).body.data.map(({ key }: { key: string }) => key);
const leaseEvents = async (client: Client) =>
  (await client.request('GET', '/v1/events?channel=team&limit=100')).body.data.filter(
    ({ kind, erased }: Record<string, unknown>) => /^lease/.test(String(kind)) && !erased,
  );

test('a lease that expires is free by predicate, and its token is stale', async () => {
  const { token } = (await acquire(alice, 'k', { ttl_ms: 100 })).body;
  await eventually(async () => (await keysOf(alice)).length === 0, 'the lease to expire');
  const late = [await record(alice, `k;token=${token}`), await renew(alice, 'k', token), await release(alice, 'k', token)];
  expect(late.map(({ status }) => status)).toEqual([412, 412, 412]);
  expect((await acquire(alice, 'k', { owner: 'two' })).body.token).toBeGreaterThan(token);
});

test('an erasure ends the leases that name the subject or that it holds, and erases their events', async () => {
  const bob = await newColleague(alice, 'bob', 'member');
  const { token } = (await acquire(bob, 'held')).body;
  await acquire(alice, 'jobs/bob');
  await acquire(alice, 'owned', { owner: 'bob@host' });
  await acquire(alice, 'jobs/bobby');
  const job = await erase(alice, { user_id: 'bob' });
  expect([job.state, await keysOf(alice)]).toEqual(['done', ['jobs/bobby']]);
  const left = (await leaseEvents(alice)).map(({ content }: { content: { key?: string } }) => content.key).filter(Boolean);
  expect(left).toEqual(['jobs/bobby']);
  expect(JSON.stringify((await alice.request('GET', '/v1/events?channel=team&limit=100')).body)).not.toMatch(/\bbob\b/);
  expect((await acquire(alice, 'held')).body.token).toBeGreaterThan(token);
  expect((await alice.request('GET', '/v1/consistency')).body.ok).toBe(true);
});

test('a trim keeps the event of a held lease', async () => {
  const { token } = (await acquire(alice, 'k')).body;
  const ended = (await acquire(alice, 'done')).body;
  await release(alice, 'done', ended.token);
  for (let i = 0; i < 5; i += 1) await alice.request('POST', '/v1/events', { body: { text: `message ${i}`, channel: 'team' } });
  await trim(alice, 2);
  expect((await record(alice, `k;token=${token}`)).status).toBe(201);
  expect((await alice.request('GET', '/v1/consistency')).body.checks.filter(({ ok }: { ok: boolean }) => !ok)).toEqual([]);
});

test('no retention rule takes the event of a held lease', async () => {
  const { token } = (await acquire(alice, 'k')).body;
  const ended = (await acquire(alice, 'done')).body;
  await release(alice, 'done', ended.token);
  const rules = [{ kind: 'lease.acquired', older_than_days: 0, max_importance: 1 }];
  await done(alice, 'PUT', '/v1/retention', { rules });
  expect((await waitForJob(alice, (await done(alice, 'POST', '/v1/retention/runs')).job_id)).state).toBe('done');
  expect((await leaseEvents(alice)).map(({ content }: { content: object }) => content)).toEqual([
    { key: 'k', owner: 'one' },
    { erased: true, retention: true },
    { key: 'done', owner: 'one' },
  ]);
  expect((await record(alice, `k;token=${token}`)).status).toBe(201);
  expect((await alice.request('GET', '/v1/consistency')).body.ok).toBe(true);
});

test('a kill ends the leases that keys of the agent acquired', async () => {
  const body = { name: 'worker', role: 'member', scopes: ['read', 'write'], agent_id: 'planner' };
  const { api_key } = (await alice.request('POST', '/auth/api-keys', { body })).body;
  const { token } = (
    await send<{ token: number }>(daemon.url, 'PUT', '/v1/leases/k', {
      body: { owner: 'planner', ttl_ms: 60_000 },
      headers: { 'x-api-key': api_key },
    })
  ).body;
  await acquire(alice, 'other');
  await alice.request('POST', '/v1/agents/planner/kill', { body: { reason: 'runs wild' } });
  expect(await keysOf(alice)).toEqual(['other']);
  expect((await record(alice, `k;token=${token}`)).status).toBe(412);
  expect((await acquire(alice, 'k', { owner: 'two' })).status).toBe(200);
});

describeOnServer('a second connection changes rows', () => {
  const sql = async (text: string, values: unknown[] = []) => {
    const engine = testEngine();
    if (engine.kind !== 'postgres') throw new Error('a second connection is needed');
    const connection: TestConnection = { ...engine.cluster.admin, database: daemon.env.PGDATABASE! };
    return withClient(connection, async (client) => (await client.query(text, values)).rows);
  };

  test('a request whose row was swept does not remove the row of a later one', async () => {
    const { token } = (await acquire(alice, 'queue')).body;
    const ownersOf = async () => (await sql(`select owner from lease_waiters where key = 'queue'`)).map(({ owner }) => owner);
    const first = acquire(alice, 'queue', { owner: 'two', wait_ms: 2000 });
    await eventually(async () => (await ownersOf()).includes('two'), 'the first request to wait');
    await sql(`delete from lease_waiters where key = 'queue'`);
    const second = acquire(alice, 'queue', { owner: 'three', wait_ms: 8000 });
    await eventually(async () => (await ownersOf()).includes('three'), 'the second request to wait');
    expect((await first).status).toBe(409);
    expect(await ownersOf()).toEqual(['three']);
    await release(alice, 'queue', token);
    expect((await second).status).toBe(200);
  });

  test('the leases of a restored backup are void until an admin confirms the restore', async () => {
    const { token } = (await acquire(alice, 'k')).body;
    const other = (await acquire(alice, 'taken')).body;
    // what `npm run erasures:replay` does after a restore
    await sql('select confirm_restore()');
    expect(await keysOf(alice)).toEqual([]);
    const late = [await record(alice, `k;token=${token}`), await renew(alice, 'k', token)];
    expect(late.map(({ status }) => status)).toEqual([412, 412]);
    const fresh = (await acquire(alice, 'taken', { owner: 'two' })).body;
    expect(fresh.token).toBeGreaterThan(other.token);
    expect((await record(alice, `taken;token=${fresh.token}`)).status).toBe(201);
    await sql('select confirm_tenant_restore($1)', [alice.tenant_id]);
    expect(await keysOf(alice)).toEqual(['k', 'taken']);
    expect((await record(alice, `k;token=${token}`)).status).toBe(201);
  });

  test('tokens grow although the clock is behind them and the sweep removed the row', async () => {
    const { token } = (await acquire(alice, 'k')).body;
    const ahead = token + 1e9;
    await sql('update leases set token = $2 where tenant_id = $1', [alice.tenant_id, ahead]);
    expect((await acquire(alice, 'k')).body.token).toBe(ahead + 1);
    await release(alice, 'k', ahead + 1);
    expect(await sql('select sweep_leases($1, 1000)::int as removed', [alice.tenant_id])).toEqual([{ removed: 1 }]);
    expect(await sql('select from leases where tenant_id = $1', [alice.tenant_id])).toEqual([]);
    expect((await acquire(alice, 'k')).body.token).toBe(ahead + 2);
  });

  test('the consistency check reports a lease whose event is about another key', async () => {
    await acquire(alice, 'k');
    await sql(`update leases set key = 'forged' where tenant_id = $1`, [alice.tenant_id]);
    const { checks } = (await alice.request('GET', '/v1/consistency')).body;
    expect(checks.filter(({ ok }: { ok: boolean }) => !ok)).toMatchObject([
      { name: 'leases', sample: [{ key: 'forged', seq: 1 }] },
    ]);
  });
});
