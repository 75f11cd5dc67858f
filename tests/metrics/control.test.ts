import { setTimeout as sleep } from 'node:timers/promises';
import { act, issue, settle } from '../mandates/support.ts';
import { type Client, newTenant, send } from '../support/client.ts';
import { withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer, serverConnection } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { startRedis } from '../support/redis.ts';
import { describeWith } from '../support/tool.ts';

// The metrics of mandates, kills and the connections of a daemon (docs/monitoring.md).

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

/** Returns the value of a series; undefined if it does not exist. */
async function figure(series: string, { url } = daemon): Promise<number | undefined> {
  const { body } = await send<string>(url, 'GET', '/metrics');
  const line = body.split('\n').find((each) => each.startsWith(`agent_memory_${series} `));
  return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ')));
}

const figures = (series: string[]) => Promise.all(series.map((one) => figure(one)));
const reaches = (series: string, value: number, at = daemon) =>
  eventually(async () => (await figure(series, at)) === value, `${series} = ${value}`);

test('checks are counted by decision, refusals by code, and repetitions not at all', async () => {
  const series = [
    'action_checks_total{decision="allow"}',
    'action_checks_total{decision="refuse"}',
    'action_blocks_total{code="COST_LIMIT_EXCEEDED"}',
    'action_blocks_total{code="TOOL_DENIED"}',
    'action_settlements_total{outcome="success",code="none"}',
    'budget_used_ratio_count',
    'budget_used_ratio_bucket{le="0.8"}',
  ];
  const before = await figures(series);
  const mandate = await issue(alice, { max_cost_total_micros: 100, denied_tools: ['rm'] });
  await act(alice, mandate, { action_id: 'half', estimate_micros: 50 });
  await act(alice, mandate, { action_id: 'half', estimate_micros: 50 });
  await act(alice, mandate, { action_id: 'rest', estimate_micros: 40 });
  expect((await act(alice, mandate, { estimate_micros: 20 })).body.code).toBe('COST_LIMIT_EXCEEDED');
  expect((await act(alice, mandate, { tool: 'rm' })).body.code).toBe('TOOL_DENIED');
  await settle(alice, mandate, 'half');
  await settle(alice, mandate, 'half');
  const after = await figures(series);
  expect(after.map((value, i) => value! - before[i]!)).toEqual([2, 2, 1, 1, 1, 2, 1]);
});

test('a kill counts as announced once, and as received by the daemon that committed it', async () => {
  const before = (await figure('kill_propagation_seconds_count'))!;
  for (let i = 0; i < 2; i += 1) await alice.request('POST', '/v1/agents/planner/kill', { body: {} });
  await alice.request('POST', '/v1/tenant/kill', { body: {} });
  expect(await figures(['kill_signals_total{scope="agent"}', 'kill_signals_total{scope="tenant"}'])).toEqual([1, 1]);
  await reaches('kill_propagation_seconds_count', before + 2);
  expect(await figure('kills_missed_total')).toBe(0);
});

test('commands to the database are timed', async () => {
  const commands = 'store_command_seconds_count{store="postgresql"}';
  const before = (await figure(commands))!;
  await alice.request('GET', '/v1/events');
  expect(await figure(commands)).toBeGreaterThan(before);
});

describeOnServer('daemons share a database', () => {
  test('connections that are opened again are counted', async () => {
    const opened = 'store_connects_total{store="postgresql",outcome="ok"}';
    const before = (await figure(opened))!;
    await withClient(serverConnection(), (admin) =>
      admin.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [daemon.env.PGDATABASE]),
    );
    // one for requests and one for notifications
    await eventually(async () => (await figure(opened))! >= before + 2, 'new connections');
    await reaches('listening', 1);
  });

  test('a kill reaches each daemon; one that no signal brings is found and counted as missed', async () => {
    const other = await startTestDaemon({}, daemon.env);
    const database = { ...serverConnection(), database: daemon.env.PGDATABASE! };
    try {
      await eventually(async () => (await figure('listening', other)) === 1, 'notifications');
      // the first search counts nothing, so that kills from before the start are not missed
      await eventually(async () => (await figure('kills_checked_timestamp_seconds', other)) !== undefined, 'a search');
      const [here, there] = [
        (await figure('kill_propagation_seconds_count'))!,
        (await figure('kill_propagation_seconds_count', other))!,
      ];
      await alice.request('POST', '/v1/agents/planner/kill', { body: {} });
      await reaches('kill_propagation_seconds_count', here + 1);
      await reaches('kill_propagation_seconds_count', there + 1, other);
      await withClient(database, (admin) =>
        admin.query(
          `insert into agent_states (tenant_id, agent_hash, agent_id, state, killed_at, updated_at)
           values ($1, agent_hash('silent'), 'silent', 'killed', clock_timestamp(), clock_timestamp())`,
          [alice.tenant_id],
        ),
      );
      await reaches('kills_missed_total', 1, other);
      await reaches('kill_propagation_seconds_count', there + 2, other);
      // once
      const checked = await figure('kills_checked_timestamp_seconds', other);
      await eventually(async () => (await figure('kills_checked_timestamp_seconds', other))! > checked!, 'another search');
      expect(await figure('kills_missed_total', other)).toBe(1);
    } finally {
      await other.stop();
    }
  });

  test('a sweep adds up the mandates and open actions of all tenants, on every daemon', async () => {
    const mandate = await issue(alice, { max_cost_total_micros: 4_000_000 });
    await act(alice, mandate, { action_id: 'open', estimate_micros: 3_600_000 });
    const bob = await newTenant(daemon.url);
    const full = await issue(bob, { max_cost_total_micros: 2_000_000, on_expiry: 'charge' });
    await act(bob, full, { action_id: 'late', estimate_micros: 2_000_000, lease_ms: 1000 });
    const revoked = await issue(bob, { max_cost_total_micros: 1_000_000 });
    await bob.request('POST', `/v1/mandates/${revoked.mandate_id}/revoke`, { body: {} });
    await sleep(1100);
    const database = { ...serverConnection(), database: daemon.env.PGDATABASE! };
    await withClient(database, (admin) =>
      // only the mandates of these tenants
      admin.query('update mandates set revoked_at = now() where not tenant_id = any ($1)', [[alice.tenant_id, bob.tenant_id]]),
    );
    const other = await startTestDaemon({ SWEEP_DELAY_MS: '0' }, daemon.env);
    try {
      await reaches('mandates_active', 2, other);
      const expected = {
        mandates_suspended: 0,
        mandates_mostly_used: 1,
        mandates_used_up: 1,
        mandates_budget_mean: 3,
        mandates_used_mean_ratio: 0.95,
        actions_overdue: 1,
      };
      const read = await Promise.all(Object.keys(expected).map((name) => figure(name, other)));
      expect(read).toEqual(Object.values(expected));
      expect(await figure('actions_open', other)).toBeGreaterThanOrEqual(2);
    } finally {
      await other.stop();
    }
  });
});

describeWith(['redis-server', 'redis-cli'], 'with Redis', () => {
  test('its commands are timed, and its connections counted, also one that is established again', async () => {
    let redis = await startRedis();
    const limited = await startTestDaemon({ RATE_LIMIT_ENABLED: 'true', REDIS_URL: `redis://127.0.0.1:${redis.port}` });
    const of = (series: string) => figure(series, limited);
    try {
      await newTenant(limited.url);
      await eventually(async () => (await of('store_command_seconds_count{store="redis"}'))! > 0, 'a command');
      const opened = await of('store_connects_total{store="redis",outcome="ok"}');
      expect(opened).toBeGreaterThanOrEqual(1);
      await redis.kill();
      await eventually(async () => (await of('store_connects_total{store="redis",outcome="failed"}'))! > 0, 'a failure');
      redis = await startRedis([], redis.port);
      await eventually(async () => (await of('store_connects_total{store="redis",outcome="ok"}'))! > opened!, 'a connection');
      expect(await of('redis_up')).toBe(1);
      expect(await of('redis_reconnections_total')).toBeGreaterThanOrEqual(1);
    } finally {
      await limited.stop();
      await redis.kill();
    }
  });
});
