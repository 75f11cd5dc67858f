import { type Client, message, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';
import { type Receiver, startReceiver } from './receiver.ts';

// One tenant's receivers do not hold up another's deliveries, however many and slow they are.

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
    const { status } = await who.ask('POST', '/v1/webhooks', { body: { url } });
    expect(status).toBe(201);
  }
}

const record = async (who: Client, ...texts: string[]) => {
  const events = texts.map((text) => message(text, { channel: 'team' }));
  expect((await who.ask('POST', '/v1/events', { body: { events } })).status).toBe(201);
};
const never = () => new Promise<number>(() => undefined);

test('while all receivers of a tenant hang, another tenant is served, and so is what it records later', async () => {
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
  // the share of one tenant
  expect(black.got.length).toBeLessThanOrEqual(4);
});

test('slow receivers of many tenants leave places for the others', async () => {
  const slow = await receive(() => new Promise((resolve) => setTimeout(resolve, 1_200, 200)));
  const crowd = await Promise.all(Array.from({ length: 9 }, () => newTenant(daemon.url)));
  for (const one of crowd) {
    await subscribe(one, slow, 4);
    await record(one, ...Array.from({ length: 40 }, (_, n) => `n${n}`));
  }
  await eventually(() => leastServed(slow, 36) >= 3, 'each of them has been told for slow');
  // all that have a place keep it
  slow.react(never);
  const before = slow.got.length;
  const alice = await newTenant(daemon.url);
  const mine = await receive();
  await subscribe(alice, mine);
  await record(alice, 'at once');
  await mine.until(1);
  // there are 32 places
  expect(slow.got.length - before).toBeLessThan(32);
});

/** How many deliveries that webhook has had which had the fewest, of so many. */
function leastServed({ got }: Receiver, webhooks: number): number {
  const counts = new Map<string, number>();
  for (const { body } of got) {
    const { webhook_id } = JSON.parse(body);
    counts.set(webhook_id, (counts.get(webhook_id) ?? 0) + 1);
  }
  return counts.size < webhooks ? 0 : Math.min(...counts.values());
}

test('more webhooks of a tenant than have places at once are all served, each in order', async () => {
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
