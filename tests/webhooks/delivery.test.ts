import { backoffOf } from '../../src/webhooks/deliver.ts';
import { type Client, message, newTenant } from '../support/client.ts';
import { type SpawnedDaemon, spawnDaemon, startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { daemonDatabase, testOnServer } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { type Receiver, startReceiver } from './receiver.ts';

const settings = { WEBHOOK_ALLOW_PRIVATE: 'true', WEBHOOK_RETRY_MS: '50', WEBHOOK_TIMEOUT_MS: '1000' };
/** Two daemons on one database need a server. */
const onPostgres = testOnServer('it supports only one daemon');

let receiver: Receiver;
const open: { stop(): Promise<void> }[] = [];
beforeEach(async () => {
  receiver = await startReceiver();
});
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.stop();
  await receiver.close();
});

async function start(overrides: Record<string, string> = {}, env?: Record<string, string>): Promise<TestDaemon> {
  const daemon = await startTestDaemon({ ...settings, ...overrides }, env);
  open.push(daemon);
  return daemon;
}

const subscribe = async (who: Client) => {
  const { status, body } = await who.request('POST', '/v1/webhooks', { body: { url: receiver.url } });
  expect(status).toBe(201);
  return body;
};
const record = async (who: Client, url: string, n: number) => {
  const answer = await fetch(`${url}/v1/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${who.token}` },
    body: JSON.stringify(message(`n${n}`, { channel: 'team' })),
  });
  expect(answer.status).toBe(201);
};
const seqs = () => receiver.got.map(({ event }) => event.seq);
const firsts = () => [...new Set(seqs())];

onPostgres('two daemons deliver each event once and in order', async () => {
  const one = await start();
  const other = await start({}, one.env);
  const alice = await newTenant(one.url);
  await subscribe(alice);
  for (let n = 0; n < 60; n += 1) await record(alice, n % 2 ? one.url : other.url, n);
  await receiver.until(60);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(seqs()).toEqual(Array.from({ length: 60 }, (_, i) => seqs()[0]! + i));
});

onPostgres(
  'after a daemon is killed, another continues in order, loses nothing and repeats at most the delivery in flight',
  async () => {
    const keeper = await start();
    const victim: SpawnedDaemon = await spawnDaemon(keeper.env, settings);
    const alice = await newTenant(victim.url);
    await subscribe(alice);
    let killed: Promise<void> | undefined;
    receiver.react(async (_, nth) => {
      // during a response
      if (nth === 5) killed = victim.kill('SIGKILL');
      await killed;
      return 200;
    });
    const recording = (async () => {
      for (let n = 0; n < 20; n += 1) await record(alice, keeper.url, n);
    })();
    await recording;
    // the lease of the killed daemon lasts a minute, unless the other daemon had it
    await eventually(() => firsts().length === 20, 'all events', 90_000);
    await victim.kill('SIGKILL').catch(() => undefined);
    expect(firsts()).toEqual(firsts().toSorted((a, b) => a - b));
    expect(firsts().at(-1)! - firsts()[0]!).toBe(19);
    expect(seqs().length - firsts().length).toBeLessThanOrEqual(1);
  },
  120_000,
);

test('a daemon stops in time although a receiver does not respond, and the aborted attempt is not recorded as a failure', async () => {
  const keeper = await startTestDaemon({ ...settings, WEBHOOK_TIMEOUT_MS: '60000' });
  const alice = await newTenant(keeper.url);
  receiver.react(() => new Promise(() => undefined));
  const { webhook_id } = await subscribe(alice);
  await record(alice, keeper.url, 1);
  await receiver.until(1);
  const listed = await alice.request('GET', `/v1/webhooks/${webhook_id}/deliveries`);
  expect(listed.body.data).toEqual([]);
  // if it waited for the delivery, the test would time out
  await keeper.stop();
}, 50_000);

test('while its secret cannot be decrypted, a webhook counts no attempt and shows why; it delivers in order once the key is back', async () => {
  const database = await daemonDatabase();
  const run = async (overrides: Record<string, string>) =>
    startTestDaemon({ ...settings, WEBHOOK_ATTEMPTS: '1', ...overrides }, database.env);
  const first = await run({});
  const alice = await newTenant(first.url);
  const path = `/v1/webhooks/${(await subscribe(alice)).webhook_id}`;
  const read = async (url: string, at: string): Promise<any> =>
    (await fetch(`${url}${at}`, { headers: { authorization: `Bearer ${alice.token}` } })).json();
  await first.stop();

  const rekeyed = await run({ ENCRYPTION_KEY: Buffer.alloc(32, 'another').toString('base64') });
  for (const n of [1, 2]) await record(alice, rekeyed.url, n);
  await eventually(async () => (await read(rekeyed.url, path)).last_error !== null, 'the reason');
  const metrics = async () => (await fetch(`${rekeyed.url}/metrics`)).text();
  await eventually(async () => /agent_memory_webhooks_stuck 1/.test(await metrics()), 'the metric');
  expect(await read(rekeyed.url, path)).toMatchObject({
    active: true,
    attempts: 0,
    last_error: expect.stringContaining('ENCRYPTION_KEY'),
  });
  expect((await read(rekeyed.url, `${path}/deliveries`)).data).toMatchObject([{ state: 'retrying', attempts: 0 }]);
  await rekeyed.stop();

  const restored = await run({});
  await receiver.until(2);
  expect(receiver.got.map(({ event }) => event.content.text)).toEqual(['n1', 'n2']);
  await eventually(async () => (await read(restored.url, path)).last_error === null, 'the end of the error');
  expect((await read(restored.url, `${path}/deliveries`)).data).toMatchObject([
    { state: 'delivered', attempts: 1 },
    { state: 'delivered', attempts: 1 },
  ]);
  await restored.stop();
  await database.release();
}, 180_000);

test('the backoff doubles up to an hour and is fully jittered', () => {
  expect([1, 2, 3, 11, 40].map((attempts) => backoffOf(attempts, 5000, 1))).toEqual([5000, 10_000, 20_000, 3_600_000, 3_600_000]);
  expect([0, 0.5].map((random) => backoffOf(2, 5000, random))).toEqual([0, 5000]);
});
