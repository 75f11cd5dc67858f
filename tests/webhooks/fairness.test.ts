import { type Client, message, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';
import { type Receiver, startReceiver } from './receiver.ts';

// The receivers of one tenant cannot delay another tenant's deliveries, however many and slow they are.

let daemon: TestDaemon;
const open: Receiver[] = [];
beforeEach(async () => {
  daemon = await startTestDaemon({ WEBHOOK_ALLOW_PRIVATE: 'true', WEBHOOK_TIMEOUT_MS: '60000' });
});
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
  await daemon.stop();
});

async function receive(reaction?: Parameters<typeof startReceiver>[0]): Promise<Receiver> {
  const receiver = await startReceiver(reaction);
  open.push(receiver);
  return receiver;
}

async function subscribe(who: Client, { url }: Receiver, count = 1): Promise<void> {
  for (let i = 0; i < count; i += 1) {
    const { status } = await who.request('POST', '/v1/webhooks', { body: { url } });
    expect(status).toBe(201);
  }
}

const record = async (who: Client, ...texts: string[]) => {
  const events = texts.map((text) => message(text, { channel: 'team' }));
  expect((await who.request('POST', '/v1/events', { body: { events } })).status).toBe(201);
};
const never = () => new Promise<number>(() => undefined);

test('while all receivers of one tenant hang, another tenant gets its events', async () => {
  const [mallory, alice] = [await newTenant(daemon.url), await newTenant(daemon.url)];
  const [black, mine] = [await receive(never), await receive()];
  await subscribe(mallory, black, 20);
  await subscribe(alice, mine);
  await record(mallory, 'one', 'two');
  await black.until(1);
  for (const n of [1, 2, 3]) {
    await record(alice, `n${n}`);
    await mine.until(n);
  }
  expect(mine.got.map(({ event }) => event.content.text)).toEqual(['n1', 'n2', 'n3']);
  // the slots of one tenant
  expect(black.got.length).toBeLessThanOrEqual(4);
});

test('slow receivers of many tenants leave slots for others', async () => {
  const slow = await receive(() => new Promise((resolve) => setTimeout(resolve, 1_200, 200)));
  const crowd = await Promise.all(Array.from({ length: 9 }, () => newTenant(daemon.url)));
  for (const one of crowd) {
    await subscribe(one, slow, 4);
    await record(one, ...Array.from({ length: 40 }, (_, n) => `n${n}`));
  }
  await eventually(() => leastServed(slow, 36) >= 3, 'each of them has been told for slow');
  // each occupies its slot from now on
  slow.react(never);
  const before = slow.got.length;
  const alice = await newTenant(daemon.url);
  const mine = await receive();
  await subscribe(alice, mine);
  await record(alice, 'at once');
  await mine.until(1);
  // there are 32 slots
  expect(slow.got.length - before).toBeLessThan(32);
});

/** Returns the number of deliveries of the webhook that had the fewest; 0 until all webhooks had one. */
function leastServed({ got }: Receiver, webhooks: number): number {
  const counts = new Map<string, number>();
  for (const { body } of got) {
    const { webhook_id } = JSON.parse(body);
    counts.set(webhook_id, (counts.get(webhook_id) ?? 0) + 1);
  }
  return counts.size < webhooks ? 0 : Math.min(...counts.values());
}

test('a tenant with more webhooks than slots gets all of them served, each in order', async () => {
  const alice = await newTenant(daemon.url);
  const mine = await receive();
  await subscribe(alice, mine, 12);
  await record(alice, ...Array.from({ length: 30 }, (_, n) => `n${n}`));
  await mine.until(360);
  const byHook = new Map<string, number[]>();
  for (const { body, event } of mine.got) {
    const { webhook_id } = JSON.parse(body);
    byHook.set(webhook_id, [...(byHook.get(webhook_id) ?? []), event.seq]);
  }
  expect(byHook.size).toBe(12);
  for (const seqs of byHook.values()) {
    expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
    expect(new Set(seqs).size).toBe(30);
  }
});
