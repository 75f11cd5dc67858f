import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig } from '../../src/config.ts';
import { type Database, openDatabase } from '../../src/db/index.ts';
import { openLedger, readLedger } from '../../src/erasure/ledger.ts';
import { createLogger } from '../../src/log.ts';
import { message, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { daemonDatabase, describeOnServer } from '../support/database.ts';
import { erase, waitForJob } from './support.ts';

// The ledger is a file on a disk that can fill up, and daemons are killed while they write to it.

const dir = mkdtempSync(join(tmpdir(), 'ledger-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const entry = (job_id: string, state: 'started' | 'completed' | 'refused' = 'started') => ({
  at: '2026-01-01T00:00:00.000Z',
  state,
  job_id,
  tenant_id: 'acme',
  kind: 'user_id' as const,
  upto_seq: 1,
  subject: { v: 1, kid: 'a', data: 'b' } as never,
});

test('entries after a truncated line are read, and the truncated line is reported', () => {
  const file = join(dir, 'cut.ndjson');
  const { append } = openLedger(file);
  append(entry('job_1'));
  appendFileSync(file, '{"at":"2026-01-01T00');
  append(entry('job_2'));
  append(entry('job_3'));
  append(entry('job_3', 'refused'));
  appendFileSync(file, 'null\n');
  const { entries, unreadable } = readLedger(file);
  expect(entries.map(({ job_id }) => job_id)).toEqual(['job_1', 'job_2']);
  expect(unreadable).toEqual([2, 6]);
});

const onServer = (name: string, tests: () => void) =>
  describeOnServer('a test cannot open a second connection', () => describe(name, tests));

onServer('a daemon', () => {
  const ledger = join(dir, 'daemon.ndjson');
  const aside = join(dir, 'aside.ndjson');
  let testDatabase: Awaited<ReturnType<typeof daemonDatabase>>;
  let daemon: TestDaemon;
  let database: Database;
  beforeAll(async () => {
    testDatabase = await daemonDatabase();
    daemon = await startTestDaemon({ ERASURE_LEDGER: ledger, LOG_LEVEL: 'silent' }, testDatabase.env);
    database = await openDatabase(loadConfig({ ...testDatabase.env, NODE_ENV: 'test' }), createLogger('silent'));
  });
  afterAll(async () => {
    await database.close();
    await daemon.stop();
    await testDatabase.release();
  });
  /** Simulates a full disk. */
  const fill = () => {
    writeFileSync(ledger, '', { flag: 'a' });
    renameSync(ledger, aside);
    symlinkSync('/dev/full', ledger);
  };
  const empty = () => {
    rmSync(ledger);
    renameSync(aside, ledger);
  };
  const statesOf = (job_id: string) =>
    readFileSync(ledger, 'utf8')
      .split('\n')
      .filter((line) => line.includes(job_id))
      .map((line) => JSON.parse(line).state);
  const marks = (tenant_id: string) =>
    database.tenants(tenant_id).read(async (db) => (await db.rows('select from erasure_marks')).length);

  test('delays an erasure until its ledger can be written', async () => {
    const owner = await newTenant(daemon.url);
    await owner.request('POST', '/v1/events', { body: message('said', { session_id: 'gone', channel: 'team' }) });
    fill();
    const { body } = await owner.request('POST', '/v1/erasures', { body: { session_id: 'gone' } });
    await sleep(500);
    expect((await owner.request('GET', `/v1/jobs/${body.job_id}`)).body.state).toBe('running');
    empty();
    const job = await waitForJob(owner, body.job_id);
    expect([job.state, job.result.certificate.counts.events, statesOf(body.job_id)]).toEqual([
      'done',
      1,
      ['started', 'completed'],
    ]);
  }, 60_000);

  test('keeps the certificate of an erasure whose completion could not be recorded in the ledger', async () => {
    const owner = await newTenant(daemon.url);
    for (let i = 0; i < 5; i += 1) {
      const events = Array.from({ length: 400 }, (_, j) => message(`${i} ${j}`, { session_id: 'gone', channel: 'team' }));
      await owner.request('POST', '/v1/events', { body: { events } });
    }
    const { body } = await owner.request('POST', '/v1/erasures', { body: { session_id: 'gone' } });
    for (let done = 0; done === 0; await sleep(5))
      done = (await owner.request('GET', `/v1/jobs/${body.job_id}`)).body.progress.done;
    fill();
    const job = await waitForJob(owner, body.job_id);
    empty();
    expect(job).toMatchObject({ state: 'done', result: { certificate: { counts: { events: 2000 } } } });
    expect([statesOf(body.job_id), await marks(owner.tenant_id)]).toEqual([['started'], 0]);
  }, 60_000);

  test('records the refusal of an erasure that had started, and leaves no marks', async () => {
    const owner = await newTenant(daemon.url);
    const second = await newColleague(owner, 'second');
    await owner.request('PATCH', `/auth/users/${second.user_id}`, { body: { role: 'owner' } });
    const tenant = database.tenants(owner.tenant_id);
    const { body } = await owner.request('POST', '/v1/erasures', { body: { session_id: 'none' } });
    await waitForJob(owner, body.job_id);
    // the other owner is disabled between the start and the phase `accounts`
    const job_id = 'job_01m7z10b4vee9y0hxhrngnmszn';
    await tenant.write(async (db) => {
      await db.run(`insert into erasure_marks (tenant_id, job_id, what, id) values ($1, $2, 'user', $3)`, [
        tenant.id,
        job_id,
        owner.user_id,
      ]);
      await db.run(`update users set disabled_at = now() where user_id = $1`, [second.user_id]);
      await db.run(
        `insert into jobs (tenant_id, job_id, kind, input, cursor, started_by, due_at, created_at, updated_at)
         values ($1, $2, 'erasure', $3, $4, 'x', now(), now(), now())`,
        [
          tenant.id,
          job_id,
          JSON.stringify({ kind: 'user_id', subject: 'alice', name: 'erased_1', begun_by: 'erased_1' }),
          JSON.stringify({ phase: 'accounts', after: '', upto: 1, found: 0, counts: {}, started_at: new Date() }),
        ],
      );
    });
    const job = await waitForJob(owner, job_id);
    expect([job.state, job.problem.status, statesOf(job_id), await marks(tenant.id)]).toEqual(['failed', 409, ['refused'], 0]);
  }, 60_000);

  test('reports unreadable entries during a replay, continues, and exits with 1', async () => {
    const owner = await newTenant(daemon.url);
    await erase(owner, { session_id: 'first' });
    const lines = readFileSync(ledger, 'utf8').split('\n');
    const own = lines.find((line) => line.includes(owner.tenant_id))!;
    const other = JSON.parse(own);
    const file = join(dir, 'replay.ndjson');
    const foreign = { ...other, job_id: 'job_of_another_key', subject: { ...other.subject, kid: 'unknown' } };
    writeFileSync(file, `{"cut":\n${JSON.stringify(foreign)}\n${own}\n`);
    const env = {
      ...process.env,
      ...testDatabase.env,
      NODE_ENV: 'test',
      ENCRYPTION_KEY: Buffer.alloc(32, 'only-for-tests').toString('base64'),
    };
    const run = () =>
      execFileSync('npx', ['tsx', 'scripts/erasures.ts', '--ledger', file], { env, stdio: ['ignore', 'pipe', 'ignore'] });
    let failed: { status: number; stdout: Buffer } | undefined;
    try {
      run();
    } catch (error) {
      failed = error as never;
    }
    expect(failed?.status).toBe(1);
    const said = failed!.stdout.toString();
    expect(said).toContain('1 unreadable lines, which were not replayed: 1');
    expect(said).toMatch(/job_of_another_key {2}not erased: /);
    expect(said).toContain(`${other.job_id}  0 events erased again`);
  }, 60_000);
});
