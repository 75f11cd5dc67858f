import type { Client as Connection } from 'pg';
import { countBlocked } from '../support/blocked.ts';
import { type Client, newTenant, send } from '../support/client.ts';
import { withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer, serverConnection } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';

// Kills that meet the locks of other transactions.

describeOnServer('another connection holds locks', () => {
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
  const kill = (body: object = {}) => alice.request('POST', '/v1/agents/planner/kill', { body });

  test('a kill waits for a step of a job, which locks its job and then the clock, without holding the clock', async () => {
    const body = { name: 'worker', role: 'admin', scopes: ['read', 'write', 'admin'], agent_id: 'planner' };
    const { key_id } = (await alice.request('POST', '/auth/api-keys', { body })).body;
    await withDatabase(async (client) => {
      await client.query(
        `insert into jobs (tenant_id, job_id, kind, input, started_by, due_at, created_at, updated_at)
         values ($1, 'job_planner', 'erasure', '{}', $2, now() + interval '1 hour', now(), now())`,
        [alice.tenant_id, key_id],
      );
      await client.query('begin');
      await client.query(`update jobs set done = 1 where tenant_id = $1`, [alice.tenant_id]);
      const killed = kill();
      await eventually(async () => (await countBlocked(client)) === 1, 'the kill waits for the job');
      await client.query('select from tenant_clocks where tenant_id = $1 for update nowait', [alice.tenant_id]);
      await client.query('commit');
      expect((await killed).body.state).toBe('killed');
    });
    expect((await alice.request('GET', '/v1/jobs/job_planner')).body.state).toBe('failed');
  });

  test('a kill that PostgreSQL ends because of a deadlock is repeated', async () => {
    await kill();
    await withDatabase(async (client) => {
      await client.query('begin');
      await client.query('select from agent_states where tenant_id = $1 for update', [alice.tenant_id]);
      // holds the clock, and waits for the state of the agent
      const killed = kill({ reason: 'loop' });
      await eventually(async () => (await countBlocked(client)) === 1, 'the kill waits for the state');
      // ends the kill, or this transaction, whichever PostgreSQL finds first
      await client.query('select from tenant_clocks where tenant_id = $1 for update', [alice.tenant_id]).catch((error) => {
        if (error.code !== '40P01') throw error;
      });
      await client.query('rollback');
      expect([(await killed).status, (await killed).body.reason]).toEqual([200, 'loop']);
    });
  });

  test('a guarded write of several statements locks the clock with its commit, not while it works', async () => {
    const body = { name: 'worker', role: 'admin', scopes: ['read', 'write', 'admin'], agent_id: 'planner' };
    const { api_key } = (await alice.request('POST', '/auth/api-keys', { body })).body;
    const start = (subject: string) =>
      send<{ code: string }>(daemon.url, 'POST', '/v1/erasures', {
        body: { user_id: subject },
        headers: { 'x-api-key': api_key, 'Idempotency-Key': subject },
      });
    await withDatabase(async (client) => {
      await client.query('begin');
      // a job that is being queued waits for this row
      await client.query('select from tenants where tenant_id = $1 for update', [alice.tenant_id]);
      const started = [start('one'), start('two')];
      await eventually(async () => (await countBlocked(client)) === 2, 'the requests wait for the tenant');
      await client.query('select from tenant_clocks where tenant_id = $1 for update nowait', [alice.tenant_id]);
      await client.query(
        `insert into agent_states (tenant_id, agent_hash, agent_id, state, updated_at) values ($1, agent_hash('planner'), 'planner', 'killed', now())`,
        [alice.tenant_id],
      );
      await client.query('commit');
      for (const answer of await Promise.all(started)) expect([answer.status, answer.body.code]).toEqual([403, 'AGENT_KILLED']);
      expect((await client.query('select from jobs where tenant_id = $1', [alice.tenant_id])).rowCount).toBe(0);
    });
  });
});
