import type { Client as Connection } from 'pg';
import { type Client, newTenant } from '../support/client.ts';
import { withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer, serverConnection } from '../support/database.ts';

// The usage of the agent in the answer of a kill.

describeOnServer('rows are written past the service', () => {
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
  const kill = (agent_id: string, body: object = {}) => alice.request('POST', `/v1/agents/${agent_id}/kill`, { body });

  test('a kill is in force and answered although the usage of its agent cannot be counted', async () => {
    const { mandate_id } = (await alice.request('POST', '/v1/mandates', { body: { agent_id: 'planner' } })).body;
    const definition = await withDatabase(async (client) => {
      const { rows } = await client.query<{ sql: string }>(`select pg_get_functiondef('mandates_used'::regproc) as sql`);
      return rows[0]!.sql;
    });
    const failing = 'as $$ begin return 1 / 0; end $$';
    await withDatabase((client) => client.query(definition.replace(/as \$function\$.*\$function\$/is, () => failing)));
    const killed = await kill('planner', { reason: 'loop' }).finally(() => withDatabase((client) => client.query(definition)));
    expect([killed.status, killed.body]).toEqual([
      200,
      { agent_id: 'planner', state: 'killed', reason: 'loop', killed_at: expect.any(String) },
    ]);
    expect((await alice.request('GET', '/v1/agents/planner')).body).toMatchObject({
      state: 'killed',
      mandates: 1,
      spent_micros: 0,
    });
    const body = { action_id: 'a1', type: 'tool_call', tool: 'read', estimate_micros: 1 };
    expect((await alice.request('POST', `/v1/mandates/${mandate_id}/actions`, { body })).body.code).toBe('AGENT_KILLED');
  });

  test('the usage of an agent is counted in time that grows with the number of its mandates, not with the square', async () => {
    await withDatabase((client) =>
      client.query(
        `insert into mandates (tenant_id, mandate_id, seq, revision, chain, agent_id, definition, spent_micros, created_at)
       select $1, 'm' || i, 0, 'r', case when i % 2 = 0 then array['m' || i] else array['m' || i - 1, 'm' || i] end, 'planner', '{}', 1, now()
       from generate_series(0, 29999) i`,
        [alice.tenant_id],
      ),
    );
    expect((await kill('planner')).body).toMatchObject({ mandates: 30_000, spent_micros: 15_000 });
    expect((await alice.request('POST', '/v1/tenant/kill', { body: {} })).body).toMatchObject({
      mandates: 30_000,
      spent_micros: 15_000,
    });
  });
});
