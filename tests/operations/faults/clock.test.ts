import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, message, newTenant, PASSWORD, send } from '../../support/client.ts';
import { type Clock, faketime, openClock } from '../../support/clock.ts';
import { withClient } from '../../support/cluster.ts';
import { remember } from '../../support/context.ts';
import { type SpawnedDaemon, spawnDaemon } from '../../support/daemon.ts';
import { testEngine } from '../../support/engine.ts';
import { canStartServer, type OwnServer, startOwnServer } from '../../support/server.ts';
import { survive } from './survive.ts';

// The wall clocks of the daemon and of the database are changed. All stored times and expiries use the database's clock; a daemon's own clock only
// decides about access tokens.

const missing = faketime ? (canStartServer ? '' : ' (skipped: no PostgreSQL binaries)') : ' (skipped: libfaketime not installed)';
const HOUR_MS = 3_600_000;

(missing ? describe.skip : describe)(`clocks move${missing}`, () => {
  let [theirs, its]: Clock[] = [];
  let server: OwnServer;
  let moved: SpawnedDaemon;
  let steady: SpawnedDaemon;
  beforeAll(async () => {
    const { run_dir } = testEngine();
    theirs = openClock(join(run_dir, `clock-server-${process.pid}`));
    its = openClock(join(run_dir, `clock-daemon-${process.pid}`));
    server = await startOwnServer({ env: theirs.env });
    moved = await spawnDaemon(server.env, { ...its.env, JOB_LEASE_MS: '1000' });
    steady = await spawnDaemon(server.env, { JOB_LEASE_MS: '1000' });
  });
  afterEach(() => {
    theirs?.move('+0');
    its?.move('+0');
  });
  afterAll(async () => {
    for (const daemon of [moved, steady]) await daemon?.kill('SIGTERM');
    await server?.release();
  });

  test('faketime shifts both clocks', async () => {
    its!.move('+2d');
    theirs!.move('-3h');
    const { timestamp } = (await send<{ timestamp: string }>(moved.url, 'GET', '/health/live')).body;
    expect(Date.parse(timestamp) - Date.now()).toBeGreaterThan(47 * HOUR_MS);
    const { rows } = await withClient(server.admin, (client) => client.query('select clock_timestamp() as now'));
    expect(rows[0].now.getTime() - Date.now()).toBeLessThan(-2 * HOUR_MS);
  });

  test('the daemon’s clock jumps by hours under load: no request fails, and events have the database’s time', async () => {
    const { requests } = await survive('daemon’s clock moved', { url: moved.url, noticed: 'never' }, () => swing(its!));
    expect(requests.length).toBeGreaterThan(50);
    its!.move('+5h');
    const client = await newTenant(moved.url);
    const { status, body } = await client.request('POST', '/v1/events', { body: message('now') });
    expect(status).toBe(201);
    const stored = await client.request('GET', `/v1/events/${body.event_id}`);
    for (const name of ['occurred_at', 'created_at'])
      if (stored.body[name]) expect(Math.abs(Date.parse(stored.body[name]) - Date.now())).toBeLessThan(60_000);
  });

  test('the database’s clock jumps by hours under load: no request fails', async () => {
    await survive('database’s clock moved', { url: steady.url, noticed: 'never' }, () => swing(theirs!));
  });

  test('a daemon two days ahead rejects tokens of today with 401, and accepts tokens that it issues itself', async () => {
    const client = await newTenant(steady.url);
    const read = (url: string, token: string) => send(url, 'GET', '/v1/events', {}, token).then(({ status }) => status);
    expect(await read(moved.url, client.token)).toBe(200);
    its!.move('+2d');
    expect([await read(moved.url, client.token), await read(steady.url, client.token)]).toEqual([401, 200]);
    const ahead = await logIn(moved.url, client);
    expect([await read(moved.url, ahead), await read(steady.url, ahead)]).toEqual([200, 401]);
    its!.move('+0');
    expect([await read(moved.url, client.token), await read(moved.url, await logIn(moved.url, client))]).toEqual([200, 200]);
  });

  test('expiry uses the database’s clock, independent of the daemon’s', async () => {
    const client = await newTenant(moved.url);
    const expires_at = new Date(Date.now() + HOUR_MS).toISOString();
    const { memory_id } = await remember(client, {
      kind: 'fact',
      text: 'The fair ends in an hour.',
      expires_at,
    });
    const isHeld = async () => (await listed(client)).includes(memory_id);
    expect(await isHeld()).toBe(true);
    theirs!.move('+3h');
    expect(await isHeld()).toBe(false);
  });

  test('each job ends exactly once, while the database’s clock, which their leases use, jumps back and forth', async () => {
    const client = await newTenant(steady.url);
    for (let i = 0; i < 20; i += 1) await client.request('POST', '/v1/events', { body: message(`event ${i}`) });
    const jobs: string[] = [];
    for (const offset of ['+1h', '+0', '+3h', '+0']) {
      const begun = await client.request('POST', '/v1/retention/runs');
      expect(begun.status).toBe(202);
      jobs.push(begun.body.job_id);
      theirs!.move(offset);
      await sleep(300);
    }
    for (const job_id of jobs) expect(await stateOf(client, job_id)).toBe('done');
  });
});

const OFFSETS = ['+1h', '+7h', '-2h', '-9h', '+0'];
async function swing(clock: Clock): Promise<void> {
  for (const offset of OFFSETS) {
    clock.move(offset);
    await sleep(700);
  }
}

async function logIn(url: string, { tenant_id, username }: Client): Promise<string> {
  const { status, body } = await send<{ access_token: string }>(url, 'POST', '/auth/login', {
    body: { tenant_id, username, password: PASSWORD },
  });
  expect(status).toBe(200);
  return body.access_token;
}

const listed = async (client: Client): Promise<string[]> =>
  (await client.request('GET', '/v1/memories')).body.data.map(({ memory_id }: { memory_id: string }) => memory_id);

async function stateOf(client: Client, job_id: string): Promise<string> {
  for (let waited = 0; ; waited += 100) {
    const { body } = await client.request('GET', `/v1/jobs/${job_id}`);
    if (!['queued', 'running'].includes(body.state) || waited > 30_000) return body.state;
    await sleep(100);
  }
}
