import { failedChecks } from '../export/file.ts';
import type { Row } from '../retention/support.ts';
import { get, list, put } from '../state/client.ts';
import { type Client, newTenant } from '../support/client.ts';
import { type TestConnection, withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer } from '../support/database.ts';
import { testEngine } from '../support/engine.ts';
import { eventually } from '../support/eventually.ts';
import { fork, lastSeq } from './support.ts';

// Restores and forks during a trim.

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

describeOnServer('a test needs a second connection', () => {
  test('a restore and a fork that wait for a trim return 410 if it removes their moment', async () => {
    const engine = testEngine();
    if (engine.kind !== 'postgres') throw new Error('this needs a PostgreSQL server');
    const connection: TestConnection = { ...engine.cluster.admin, database: daemon.env.PGDATABASE! };
    for (const body of [1, 2, 3]) await put(alice, 'a', { body });
    const answers = await withClient(connection, async (client) => {
      await client.query('begin');
      // the policies of the log allow a trim only while a job runs
      await client.query(
        `insert into jobs (tenant_id, job_id, kind, state, input, started_by, due_at, created_at, updated_at)
         values ($1, 'job_trim', 'retention', 'running', '{}', 'usr_1', now(), now(), now())`,
        [alice.tenant_id],
      );
      await client.query('select enter_tenant($1)', [alice.tenant_id]);
      await client.query('select from tenant_clocks where tenant_id = $1 for update', [alice.tenant_id]);
      const waiting = [
        alice.request('POST', '/v1/state/restore', { body: { at: 1 } }),
        fork(alice, 'copy', { at: 1 }),
        fork(alice, 'kept', { at: 2 }),
      ];
      const blocked = `select distinct pid from pg_locks where not granted and locktype in ('transactionid', 'tuple')`;
      await eventually(async () => (await client.query(blocked)).rowCount === 3, 'the requests at the clock');
      await client.query(`select mark_needs($1, 'job_trim', 2, 3, '{}', 3, 10)`, [alice.tenant_id]);
      await client.query(`select trim_step($1, 'job_trim', 0, 2, 10)`, [alice.tenant_id]);
      await client.query(
        `reset role; delete from jobs where job_id = 'job_trim'; delete from erasure_marks where job_id = 'job_trim'; commit`,
      );
      return Promise.all(waiting);
    });
    expect(answers.map(({ status, body }) => [status, body.oldest_seq])).toEqual([
      [410, 3],
      [410, 3],
      [201, undefined],
    ]);
    expect([(await get(alice, 'a')).body.body, (await get(alice, 'a', '', 'kept')).body.body]).toEqual([3, 2]);
    expect([(await list(alice, '', 'copy')).data, await lastSeq(alice)]).toEqual([[], 4]);
    expect(await failedChecks(alice)).toEqual([]);
  }, 60_000);

  test('between the steps of a trim, the past before its end returns 410', async () => {
    const engine = testEngine();
    if (engine.kind !== 'postgres') throw new Error('this needs a PostgreSQL server');
    const connection: TestConnection = { ...engine.cluster.admin, database: daemon.env.PGDATABASE! };
    for (const body of [1, 2, 3, 4]) await put(alice, 'a', { body });
    const restoreAt = (at: number) => alice.request('POST', '/v1/state/restore', { body: { at } });
    await withClient(connection, async (client) => {
      await client.query(
        `insert into jobs (tenant_id, job_id, kind, state, input, started_by, due_at, created_at, updated_at)
         values ($1, 'job_steps', 'retention', 'running', '{}', 'usr_1', now() + interval '1 hour', now(), now())`,
        [alice.tenant_id],
      );
      const input = { rules: [], trim: { keep_events: 1 } };
      let cursor: Row = { phase: 'bound', after: '', now: new Date(), counts: {} };
      const step = async () => {
        const values = [alice.tenant_id, JSON.stringify(cursor), JSON.stringify(input)];
        const text = `select retain_step($1, 'job_steps', 0, 3600000, 1, $2, $3, '{}') as cursor`;
        cursor = (await client.query<{ cursor: Row }>(text, values)).rows[0]!.cursor;
      };
      while (cursor.counts.trimmed === undefined) await step();
      expect(cursor).toMatchObject({ phase: 'trim', trim_to: 3, counts: { trimmed: 1 } });
      // the first event is gone, the second is not
      for (const at of [1, 2]) {
        expect((await get(alice, 'a', `?at=${at}`)).body).toMatchObject({ status: 410, oldest_seq: 4 });
        expect([(await restoreAt(at)).status, (await fork(alice, 'copy', { at })).status]).toEqual([410, 410]);
      }
      expect((await get(alice, 'a', '?at=3')).body.body).toBe(3);
      // the run fails for good, and the past stays refused
      await client.query(`update jobs set state = 'failed', cursor = null where job_id = 'job_steps'`);
      expect((await get(alice, 'a', '?at=2')).body).toMatchObject({ status: 410, oldest_seq: 4 });
      expect([(await restoreAt(2)).status, (await get(alice, 'a', '?at=3')).body.body]).toEqual([410, 3]);
      await client.query(`update jobs set state = 'running' where job_id = 'job_steps'`);
      while (cursor.phase !== 'over') await step();
      const { rows } = await client.query('select trimming_to from tenant_clocks where tenant_id = $1', [alice.tenant_id]);
      expect(rows).toEqual([{ trimming_to: null }]);
      await client.query(`delete from jobs where job_id = 'job_steps'; delete from erasure_marks where job_id = 'job_steps'`);
    });
    expect([(await get(alice, 'a', '?at=2')).status, (await get(alice, 'a')).body.body]).toEqual([410, 4]);
    expect(await failedChecks(alice)).toEqual([]);
  }, 60_000);
});
