import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client as Connection } from 'pg';
import { thisRelease } from '../../src/db/release.ts';
import { type Client, newTenant } from '../support/client.ts';
import { withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer, serverConnection, workerDatabase } from '../support/database.ts';
import { act, decisionOf, issue, readAction, settle, usageOf } from './support.ts';

// Many open actions. They are copies of one that was authorised.

type Row = Record<string, any>;

describeOnServer('actions are copied past the service', () => {
  let daemon: TestDaemon;
  let alice: Client;
  beforeAll(async () => {
    daemon = await startTestDaemon();
  });
  beforeEach(async () => {
    alice = await newTenant(daemon.url);
  });
  afterAll(() => daemon.stop());

  const withDatabase = <T>(work: (client: Connection) => Promise<T>) =>
    withClient({ ...serverConnection(), database: daemon.env.PGDATABASE! }, work);
  const run = (text: string, values: unknown[] = []) =>
    withDatabase(async (client) => (await client.query<Row>(text, [alice.tenant_id, ...values])).rows);
  const kill = (agent_id: string) => alice.request('POST', `/v1/agents/${agent_id}/kill`, { body: {} });
  const resurrect = (agent_id: string) => alice.request('POST', `/v1/agents/${agent_id}/resurrect`, { body: {} });
  const sweep = async () => (await run('select sweep_expired_actions($1, 1000)::int as count'))[0]!.count as number;

  /** Authorises an action that reserves 2 micro-units, which an expiry charges, and copies it. */
  async function open(mandate: Row, copies: number, age_ms = 0): Promise<void> {
    const more = { action_id: 'first', type: 'llm_call', model: 'm', estimate_micros: 2, lease_ms: 3_600_000 };
    expect((await act(alice, mandate, more)).status).toBe(201);
    await run(
      `insert into actions
       select (jsonb_populate_record(a, jsonb_build_object('action_id', 'copy' || i))).*
       from actions a cross join generate_series(1, $3::int) i
       where a.tenant_id = $1 and a.mandate_id = $2`,
      [mandate.mandate_id, copies],
    );
    await run(`update actions set expires_at = expires_at - $3 * interval '1 ms' where tenant_id = $1 and mandate_id = $2`, [
      mandate.mandate_id,
      age_ms,
    ]);
    await run(
      `update mandates m set reserved_micros = 2 * (1 + $3::int), open_actions = 1 + $3::int
       where tenant_id = $1 and (select chain from mandates where tenant_id = $1 and mandate_id = $2) @> array[m.mandate_id]`,
      [mandate.mandate_id, copies],
    );
  }

  test('a kill ends all open actions without writing one; the sweep writes them', async () => {
    const parent = await issue(alice);
    const child = (await alice.request('POST', `/v1/mandates/${parent.mandate_id}/delegate`, { body: { agent_id: 'helper' } }))
      .body;
    await open(child, 2500);
    const versions = () => run('select xmin::text, count(*) from actions where tenant_id = $1 group by 1 order by 1');
    const before = await versions();
    const killed = await kill('planner');
    expect(killed.body).toMatchObject({ state: 'killed', mandates: 1, spent_micros: 5002 });
    expect(await versions()).toEqual(before);
    const ended = {
      state: 'expired',
      charged_micros: 2,
      reserved_micros: 0,
      ended_at: expect.stringContaining(killed.body.killed_at.slice(0, -1)),
    };
    expect(await readAction(alice, child, 'copy9')).toMatchObject(ended);
    const usage = { spent_micros: 5002, reserved_micros: 0 };
    expect(await usageOf(alice, parent)).toMatchObject(usage);
    await resurrect('planner');
    expect([await sweep(), await readAction(alice, child, 'copy9'), await usageOf(alice, child)]).toMatchObject([
      1000,
      ended,
      usage,
    ]);
    expect(await sweep()).toBe(0);
    expect(await run('select from mandate_kills where tenant_id = $1')).toEqual([]);
    expect([await readAction(alice, child, 'copy9'), await usageOf(alice, parent)]).toMatchObject([ended, usage]);
    expect(await decisionOf(alice, child)).toBe('201 allow');
  });

  test('actions that begin after a resurrection stay open, and those that the kill ended are settled late', async () => {
    const mandate = await issue(alice);
    await open(mandate, 10);
    await kill('planner');
    await resurrect('planner');
    await act(alice, mandate, { action_id: 'later', lease_ms: 3_600_000 });
    expect((await settle(alice, mandate, 'copy1')).body).toMatchObject({ late: true, code: 'EXECUTION_TIMEOUT' });
    expect(await readAction(alice, mandate, 'later')).toMatchObject({ state: 'open', reserved_micros: 1 });
    expect(await usageOf(alice, mandate)).toMatchObject({ spent_micros: 22, reserved_micros: 1 });
    await sweep();
    expect(await readAction(alice, mandate, 'later')).toMatchObject({ state: 'open' });
  });

  test('while a kill of another agent is not yet written, a batch evaluates the agents of a mandate once, not for each of its actions', async () => {
    const mandate = await issue(alice);
    await open(mandate, 3000);
    const other = await issue(alice, { agent_id: 'writer' });
    await open(other, 1);
    await kill('writer');
    const scans = await withDatabase(async (client) => {
      await client.query('begin');
      await client.query('select enter_tenant($1)', [alice.tenant_id]);
      await client.query(
        'select lapse_open_actions($1, array[$2], now()), (select count(*) from ended_actions($1, array[$2], now()))',
        [alice.tenant_id, mandate.mandate_id],
      );
      const { rows } = await client.query<Row>(
        `select sum(coalesce(seq_scan, 0) + coalesce(idx_scan, 0))::int as scans
         from pg_stat_xact_user_tables where relname in ('mandates', 'mandate_kills')`,
      );
      await client.query('rollback');
      return rows[0]!.scans as number;
    });
    expect(scans).toBeGreaterThan(0);
    expect(scans).toBeLessThan(100);
    expect(await usageOf(alice, mandate)).toMatchObject({ spent_micros: 0, reserved_micros: 6002 });
    expect(await usageOf(alice, other)).toMatchObject({ spent_micros: 4, reserved_micros: 0 });
  });

  test('each action ends at the first kill after it began, of its own agent, of one above it or of the tenant', async () => {
    const parent = await issue(alice);
    const child = (await alice.request('POST', `/v1/mandates/${parent.mandate_id}/delegate`, { body: { agent_id: 'helper' } }))
      .body;
    const killed: string[] = [];
    for (const [i, agent_id] of ['helper', 'planner', 'helper'].entries()) {
      await act(alice, child, { action_id: `a${i}`, lease_ms: 3_600_000 });
      killed.push((await kill(agent_id)).body.killed_at);
      await resurrect(agent_id);
    }
    await act(alice, child, { action_id: 'a3', lease_ms: 3_600_000 });
    killed.push((await alice.request('POST', '/v1/tenant/kill', { body: { reason: 'test' } })).body.killed_at);
    await alice.request('POST', '/v1/tenant/resurrect', { body: { reason: 'test' } });
    await act(alice, child, { action_id: 'a4', lease_ms: 3_600_000 });
    const ends = () =>
      run(
        `select action_id, state, to_char(ended_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at
         from actions where tenant_id = $1 order by action_id`,
      );
    await sweep();
    expect(await ends()).toEqual([
      ...killed.map((at, i) => ({ action_id: `a${i}`, state: 'lapsed', at })),
      { action_id: 'a4', state: 'open', at: null },
    ]);
    expect(await run('select from mandate_kills where tenant_id = $1')).toEqual([]);
  });

  test('the migration counts the actions that were open before it, so that a kill ends them', async () => {
    const parent = await issue(alice);
    const child = (await alice.request('POST', `/v1/mandates/${parent.mandate_id}/delegate`, { body: { agent_id: 'helper' } }))
      .body;
    await open(child, 5);
    await act(alice, parent, { action_id: 'own', lease_ms: 3_600_000 });
    await settle(alice, child, 'copy1');
    await run('update mandates set open_actions = 0 where tenant_id = $1');
    const owner = { ...(await workerDatabase()).connection, database: daemon.env.PGDATABASE! };
    const migration = readFileSync(join(thisRelease.migrations, '0033_mandates.sql'), 'utf8');
    await withClient(owner, (client) => client.query(migration));
    expect(await run('select agent_id, open_actions from mandates where tenant_id = $1 order by agent_id')).toEqual([
      { agent_id: 'helper', open_actions: '5' },
      { agent_id: 'planner', open_actions: '6' },
    ]);
    await kill('helper');
    expect(await readAction(alice, child, 'copy2')).toMatchObject({ state: 'expired' });
    expect(await readAction(alice, parent, 'own')).toMatchObject({ state: 'open' });
  });

  test('a mandate and those delegated from it have at most 10,000 open actions', async () => {
    const parent = await issue(alice);
    const child = (await alice.request('POST', `/v1/mandates/${parent.mandate_id}/delegate`, { body: { agent_id: 'helper' } }))
      .body;
    await open(child, 9998);
    expect(await decisionOf(alice, parent)).toBe('201 allow');
    const refused = await act(alice, parent, { action_id: 'last' });
    expect([refused.status, refused.body.code, refused.body.hard, refused.headers.get('retry-after')]).toEqual([
      429,
      'RATE_LIMIT_EXCEEDED',
      false,
      '1',
    ]);
    expect((await settle(alice, child, 'copy1')).status).toBe(200);
    expect((await act(alice, parent, { action_id: 'last' })).status).toBe(201);
    expect(await decisionOf(alice, child)).toBe('429 RATE_LIMIT_EXCEEDED');
  });

  test('a batch or sweep ends the expired actions of few trees; a mandate whose turn has not come is refused with 503', async () => {
    const mandates = [await issue(alice), await issue(alice), await issue(alice)];
    for (const mandate of mandates) await open(mandate, 5999, 7_200_000);
    const usage = { spent_micros: 12_000, reserved_micros: 0 };
    for (const mandate of mandates) expect(await usageOf(alice, mandate)).toMatchObject(usage);
    const left = async () => (await run(`select count(*)::int from actions where tenant_id = $1 and state = 'open'`))[0]!.count;
    // settles the first action of each in one batch
    const judge = () =>
      run(
        `select unit, refusal ->> 'code' as code
         from enter_tenant($1) cross join lateral mandates_judge($1, (
           select jsonb_agg(jsonb_build_object('events', jsonb_build_array(jsonb_build_object('effects', jsonb_build_object('mandates', jsonb_build_object(
             'op', 'settle', 'mandate_id', mandate_id, 'chain', chain, 'revision', revision, 'action_id', 'first', 'outcome', 'success')))))
             order by mandate_id)
           from mandates where tenant_id = $1), now())
         order by unit`,
      );
    const codes = (...list: (string | null)[]) => list.map((code, i) => ({ unit: i + 1, code }));
    expect([await judge(), await left()]).toEqual([codes(null, null, 'AM503'), 6000]);
    expect(await sweep()).toBe(1000);
    expect(await left()).toBe(0);
    for (const mandate of mandates) expect(await usageOf(alice, mandate)).toMatchObject(usage);
  });
});
