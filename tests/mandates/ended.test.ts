import { clientAt } from '../leases/support.ts';
import { type Client, newTenant, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { daemonDatabase, describeOnServer } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { findTool } from '../support/tool.ts';
import { act, decisionOf, issue, settle, usageOf } from './support.ts';

// With Redis, daemons refuse actions under ended mandates without PostgreSQL. Without its data, or with wrong data, PostgreSQL decides.

const describeWithRedis = findTool('redis-server') ? describeOnServer : describe.skip;

describeWithRedis('needs two daemons', () => {
  let database: Awaited<ReturnType<typeof daemonDatabase>>;
  let redis: RedisServer;
  let daemons: TestDaemon[];
  let alice: Client;
  let other: Client;
  beforeAll(async () => {
    database = await daemonDatabase();
    // so little memory that keys are evicted once the flood below begins
    redis = await startRedis(['--maxmemory', '3mb', '--maxmemory-policy', 'allkeys-lru']);
    // so long that no request may wait for it
    const env = { REDIS_URL: `redis://127.0.0.1:${redis.port}`, REDIS_COMMAND_TIMEOUT_MS: '600000' };
    daemons = [await startTestDaemon(env, database.env), await startTestDaemon(env, database.env)];
  });
  beforeEach(async () => {
    alice = await newTenant(daemons[0]!.url);
    other = clientAt(daemons[1]!.url, alice);
  });
  afterAll(async () => {
    for (const daemon of daemons ?? []) await daemon.stop();
    await database?.release();
    await redis?.kill();
  });

  const metric = async (name: string): Promise<number> => {
    const texts = await Promise.all(daemons.map(({ url }) => send<string>(url, 'GET', '/metrics')));
    const values = texts.flatMap(({ body }) => [
      ...body.matchAll(new RegExp(`^agent_memory_${name}(?:\\{.*\\})? (\\S+)$`, 'gm')),
    ]);
    return values.reduce((sum, [, value]) => sum + Number(value), 0);
  };
  const endedKeys = async () => (await redis.cli('keys', '*ended:*')).split('\n').filter(Boolean);
  const early = () => metric('early_refusals_total');
  const revoke = (mandate_id: string) => alice.request('POST', `/v1/mandates/${mandate_id}/revoke`, { body: {} });
  /** Requests actions until one is refused without PostgreSQL. */
  const untilEarly = async (client: Client, mandate: Awaited<ReturnType<typeof issue>>) => {
    const before = await early();
    await eventually(async () => {
      expect(await decisionOf(client, mandate)).toBe('403 MANDATE_EXPIRED');
      return (await early()) > before;
    }, 'an early refusal');
  };

  test('of 1,000 authorisations under a revoked mandate, most do not reach PostgreSQL, and all are answered alike', async () => {
    const mandate = await issue(alice, { max_cost_total_micros: 100 });
    const parent = await issue(alice);
    const { body: child } = await alice.request('POST', `/v1/mandates/${parent.mandate_id}/delegate`, {
      body: { agent_id: 'b' },
    });
    await act(alice, mandate);
    await revoke(mandate.mandate_id);
    await revoke(parent.mandate_id);
    for (const ended of [mandate, child]) {
      const first = await act(alice, ended);
      const [batches, before] = [await metric('commit_seconds_count'), await early()];
      const answers = [];
      for (let i = 0; i < 100; i += 1)
        answers.push(...(await Promise.all(Array.from({ length: 5 }, (_, n) => act(n % 2 ? alice : other, ended)))));
      const texts = answers.map(({ status, body: { request_id: _, ...body } }) => JSON.stringify({ status, ...body }));
      const { request_id: _, ...body } = first.body;
      expect(new Set(texts)).toEqual(new Set([JSON.stringify({ status: first.status, ...body })]));
      expect((await metric('commit_seconds_count')) - batches).toBeLessThan(250);
      expect((await early()) - before).toBeGreaterThan(250);
    }
  });

  test('an expired mandate is refused early, with the answer that PostgreSQL gives', async () => {
    const mandate = await issue(alice, { expires_at: '2026-01-01T00:00:00Z' });
    const { body } = await act(alice, mandate);
    await untilEarly(alice, mandate);
    expect((await act(alice, mandate)).body.detail).toBe(body.detail);
  });

  test('replays, settlements and other mandates are answered as without Redis', async () => {
    const mandate = await issue(alice, { max_cost_total_micros: 100 });
    const one = await act(alice, mandate, { action_id: 'one', estimate_micros: 4 });
    const keyed = await act(alice, mandate, { action_id: 'two' }, { headers: { 'Idempotency-Key': 'k' } });
    await revoke(mandate.mandate_id);
    await untilEarly(alice, mandate);
    expect(await act(alice, mandate, { action_id: 'one', estimate_micros: 4 })).toMatchObject({ status: 201, body: one.body });
    expect(await decisionOf(alice, mandate, { action_id: 'one', estimate_micros: 5 })).toBe('409 DUPLICATE_ACTION');
    const again = await act(alice, mandate, { action_id: 'two' }, { headers: { 'Idempotency-Key': 'k' } });
    expect(again).toMatchObject({ status: 201, body: keyed.body });
    expect((await settle(alice, mandate, 'one')).body).toMatchObject({ charged_micros: 4 });
    expect(await decisionOf(alice, await issue(alice))).toBe('201 allow');
  });

  test('after a kill on another daemon, the refusal is that of the kill again', async () => {
    const mandate = await issue(alice);
    await revoke(mandate.mandate_id);
    await untilEarly(other, mandate);
    await alice.request('POST', '/v1/agents/planner/kill', { body: { reason: 'test' } });
    await eventually(async () => (await decisionOf(other, mandate)) === '403 AGENT_KILLED', 'the kill', 20_000);
    await alice.request('POST', '/v1/agents/planner/resurrect', { body: {} });
    expect(await decisionOf(other, await issue(alice))).toBe('201 allow');
  });

  test.each([
    ['a FLUSHALL', () => redis.cli('flushall')],
    [
      'the eviction of all keys',
      async () => {
        // keys are evicted between commands, not within a script
        for (let n = 0; (await endedKeys()).length > 0; n += 1)
          await redis.cli('eval', "for i = 1, 300 do redis.call('SET', ARGV[1] .. i, string.rep('x', 2000)) end", '0', `${n}-`);
        expect(await redis.cli('info', 'stats')).toMatch(/evicted_keys:[1-9]/);
      },
    ],
    [
      'foreign data',
      async () => {
        for (const key of await endedKeys()) await redis.cli('set', key, 'true');
      },
    ],
    ['a Redis that hangs', () => redis.process.kill('SIGSTOP')],
    ['the loss of Redis', () => redis.kill()],
  ])('%s changes neither a refusal nor a budget', async (_, lose) => {
    if (redis.process.exitCode !== null || redis.process.signalCode !== null) redis = await startRedis([], redis.port);
    redis.process.kill('SIGCONT');
    const ended = await issue(alice);
    const limited = await issue(alice, { max_cost_total_micros: 10 });
    await act(alice, limited, { estimate_micros: 10 });
    await revoke(ended.mandate_id);
    await untilEarly(alice, ended);
    await lose();
    for (const client of [alice, other]) {
      expect(await decisionOf(client, ended)).toBe('403 MANDATE_EXPIRED');
      expect(await decisionOf(client, limited)).toBe('403 COST_LIMIT_EXCEEDED');
    }
    expect(await usageOf(alice, limited)).toMatchObject({ remaining_micros: 0 });
  });
});
