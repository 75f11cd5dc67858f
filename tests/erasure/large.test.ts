import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig } from '../../src/config.ts';
import { type Database, openDatabase } from '../../src/db/index.ts';
import { createLogger } from '../../src/log.ts';
import { type Client, message, newTenant, send } from '../support/client.ts';
import { type SpawnedDaemon, spawnDaemon } from '../support/daemon.ts';
import { daemonDatabase, describeOnServer } from '../support/database.ts';
import { dumpOf, waitForJob } from './support.ts';

// A subject with thousands of events while others write, and daemons that are killed. A step covers at most 1,000 events, so each erasure takes
// several steps in every phase. Needs a second connection.
/** `ERASURE_EVENTS=100000 npx jest tests/erasure/large -t 'other writers'` measures, and prints the durations to stderr. */
const EVENTS = Number(process.env.ERASURE_EVENTS ?? 4_000);
/** Enough that the erasure is still running after two daemons were killed at its progress. */
const KILLED_EVENTS = 10_000;
const onServer = (name: string, tests: () => void) =>
  describeOnServer('a test cannot open a second connection', () => describe(name, tests));

onServer('a large erasure', () => {
  let testDatabase: Awaited<ReturnType<typeof daemonDatabase>>;
  let database: Database;
  const daemons: SpawnedDaemon[] = [];
  const spawn = async () => {
    const daemon = await spawnDaemon(testDatabase.env, { JOB_LEASE_MS: '1000' });
    daemons.push(daemon);
    return daemon;
  };
  beforeAll(async () => {
    testDatabase = await daemonDatabase();
    database = await openDatabase(loadConfig({ ...testDatabase.env, NODE_ENV: 'test' }), createLogger('silent'));
  });
  afterAll(async () => {
    for (const daemon of daemons)
      if (daemon.child.exitCode === null && daemon.child.signalCode === null) await daemon.kill('SIGTERM');
    await database.close();
    await testDatabase.release();
  });

  async function fill(owner: Client, user_id: string, count: number) {
    for (let i = 0; i < count; i += 1000) {
      const events = Array.from({ length: 1000 }, (_, j) =>
        message(`line ${i + j} of ${user_id}`, { user_id, channel: 'team', actor: { type: 'agent', id: 'scribe' } }),
      );
      const { status, body } = await owner.request('POST', '/v1/events', { body: { events } });
      if (status !== 201) throw new Error(JSON.stringify(body));
    }
  }

  test('lets other writers of the tenant proceed between its steps', async () => {
    const { url } = await spawn();
    const owner = await newTenant(url);
    await fill(owner, 'subject-of-many', EVENTS);
    const { body } = await owner.request('POST', '/v1/erasures', { body: { user_id: 'subject-of-many' } });
    const began = performance.now();
    const waits: number[] = [];
    let over = false;
    const write = async (n: number) => {
      while (!over) {
        const before = performance.now();
        const { status } = await owner.request('POST', '/v1/events', { body: message(`beside ${n}`, { channel: 'team' }) });
        if (status !== 201) throw new Error(`a writer was refused: ${status}`);
        waits.push(performance.now() - before);
        await sleep(5);
      }
    };
    const writers = [write(1), write(2), write(3)];
    const job = await waitForJob(owner, body.job_id, 600_000);
    const took = performance.now() - began;
    over = true;
    await Promise.all(writers);
    expect(job.result.certificate.counts).toMatchObject({ events: EVENTS, chunks: EVENTS });
    if (EVENTS > 4_000)
      process.stderr.write(
        `${EVENTS} events in ${Math.round(took)} ms; ${waits.length} writes beside it, the longest ${Math.round(Math.max(...waits))} ms\n`,
      );
    // a step covers at most a thousand events, and a waiting writer precedes the next step
    expect(waits.length).toBeGreaterThanOrEqual(EVENTS / 1000 - 1);
    const rows = await dumpOf(database.tenants(owner.tenant_id));
    expect([rows.includes('subject-of-many'), rows.includes('beside 3')]).toEqual([false, true]);
  }, 900_000);

  test('continues after its daemon is killed, and counts each row once', async () => {
    const first = await spawn();
    const owner = await newTenant(first.url);
    await fill(owner, 'killed-halfway', KILLED_EVENTS);
    const { body } = await owner.request('POST', '/v1/erasures', { body: { user_id: 'killed-halfway' } });
    let done = 0;
    for (let kills = 0; kills < 2; kills += 1) {
      const daemon = kills === 0 ? first : await spawn();
      const client = {
        ...owner,
        request: (method: string, path: string) => send<any>(daemon.url, method, path, {}, owner.token),
      } as Client;
      for (const before = done; done <= before; await sleep(10)) {
        // a busy machine may reject a request
        const { status, body: job } = await client.request('GET', `/v1/jobs/${body.job_id}`);
        if (status === 200) done = job.progress.done;
      }
      await daemon.kill('SIGKILL');
    }
    expect(done).toBeLessThan(KILLED_EVENTS);
    const last = await spawn();
    const client = {
      ...owner,
      request: (method: string, path: string) => send<any>(last.url, method, path, {}, owner.token),
    } as Client;
    const job = await waitForJob(client, body.job_id, 240_000);
    expect(job.result.certificate.counts).toMatchObject({ events: KILLED_EVENTS, chunks: KILLED_EVENTS });
    expect((await dumpOf(database.tenants(owner.tenant_id))).includes('killed-halfway')).toBe(false);
  }, 300_000);
});
