import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, message, newTenant } from '../support/client.ts';
import { type SpawnedDaemon, spawnDaemon, startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { testOnServer } from '../support/database.ts';
import { exportTenant, failedChecks, importFile, jobDone, linesOf } from './file.ts';

// An import is a job from its first byte on. If its daemon dies, another daemon takes the job and empties the tenant.

const EVENTS = 6_000;
const PARTS = 3;

let daemon: TestDaemon;
let file: string;
beforeAll(async () => {
  daemon = await startTestDaemon({ JOB_LEASE_MS: '1500', LOG_LEVEL: 'silent' });
  const alice = await newTenant(daemon.url);
  for (let from = 0; from < EVENTS; from += 500)
    await alice.request('POST', '/v1/events', {
      body: { events: Array.from({ length: 500 }, (_, i) => message(`tide ${from + i}`)) },
    });
  file = await exportTenant(alice);
});
afterAll(() => daemon.stop());

const importJob = async (client: Client) => (await client.request('GET', '/v1/jobs?kind=import')).body.data[0];

async function until<T>(what: () => Promise<T | undefined | false>): Promise<T> {
  for (;;) {
    const found = await what();
    if (found) return found;
    await sleep(50);
  }
}

/** Sends most of the file and then pauses. */
function beginTo(url: string, client: Client): { goOn(): void; answer: Promise<Response | undefined> } {
  const bytes = Buffer.from(file);
  const most = Math.floor((bytes.length * (PARTS - 1)) / PARTS);
  let goOn: () => void = () => undefined;
  const body = new ReadableStream({
    start: (controller) => {
      controller.enqueue(bytes.subarray(0, most));
      goOn = () => {
        controller.enqueue(bytes.subarray(most));
        controller.close();
      };
    },
  });
  const init = {
    method: 'POST',
    body,
    duplex: 'half',
    headers: { authorization: `Bearer ${client.token}`, 'content-type': 'application/x-ndjson' },
  };
  const answer = fetch(`${url}/v1/import`, init as RequestInit).catch(() => undefined);
  return { goOn: () => goOn(), answer };
}

test('the progress of an import is visible while it runs, and its job continues with the passages', async () => {
  const copy = await newTenant(daemon.url);
  const sending = beginTo(daemon.url, copy);
  const job = await until(async () => {
    const found = await importJob(copy);
    return found?.progress.done >= 2_000 && found;
  });
  expect(job).toMatchObject({ kind: 'import', state: 'running', progress: { total: 2 * EVENTS } });
  expect((await copy.request('POST', '/v1/events', { body: message('meanwhile') })).status).toBe(409);
  // longer than the lease, which is renewed even without data
  await sleep(3_000);
  sending.goOn();
  const response = (await sending.answer)!;
  expect([response.status, ((await response.json()) as { job_id: string }).job_id]).toEqual([202, job.job_id]);
  expect(await jobDone(copy, job.job_id)).toMatchObject({
    state: 'done',
    progress: { done: 2 * EVENTS, total: 2 * EVENTS },
    result: { events: EVENTS },
  });
  expect(await failedChecks(copy)).toEqual([]);
});

test('a rejected import is a failed job with the problem', async () => {
  const copy = await newTenant(daemon.url);
  const { status } = await importFile(copy, file.replace('"tide 3500"', '"tide 35oo"'));
  expect([status, await importJob(copy)]).toMatchObject([422, { state: 'failed', problem: { status: 422 } }]);
});

// the daemon occupies the only session of the embedded engine
const onPostgres = testOnServer('it supports only one daemon');

onPostgres(
  'after the daemon is killed during an import, another empties the tenant, and the file can be imported again',
  async () => {
    const copy = await newTenant(daemon.url);
    const other: SpawnedDaemon = await spawnDaemon(daemon.env, { JOB_LEASE_MS: '1500' });
    const sending = beginTo(other.url, copy);
    const { job_id } = await until(async () => {
      const found = await importJob(copy);
      return found?.progress.done >= 2_000 && found;
    });
    await other.kill('SIGKILL');
    await sending.answer;
    expect(await jobDone(copy, job_id)).toMatchObject({ state: 'failed', problem: { title: expect.any(String) } });
    expect(linesOf(await exportTenant(copy)).map(({ type }) => type)).toEqual(['header', 'tenant', 'end']);
    expect((await copy.request('GET', '/v1/events')).body.data).toEqual([]);
    const { status, body } = await importFile(copy, file);
    expect(status).toBe(202);
    await jobDone(copy, body.job_id);
    expect(await failedChecks(copy)).toEqual([]);
  },
  60_000,
);
