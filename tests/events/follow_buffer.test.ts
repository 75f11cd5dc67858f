import { type Client, message, newTenant } from '../support/client.ts';
import { withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer, serverConnection } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { readEvents, type ServerSent } from '../support/sse.ts';

// The buffers of followers, with limits that are reached quickly.

let daemon: TestDaemon;
/** Has LARGE events that together are more than fits into the buffers of the kernel. */
let alice: Client;
const LARGE = 300;
beforeAll(async () => {
  daemon = await startTestDaemon({ WATCH_BUFFER_SIZE: '20', WATCH_BUFFER_BYTES: String(1024 * 1024) });
  alice = await newTenant(daemon.url);
  const one = message('large', { metadata: { padding: 'x'.repeat(60_000) } });
  for (let i = 0; i < LARGE; i += 25)
    await record(
      alice,
      Array.from({ length: 25 }, () => one),
    );
});
afterEach(() => void jest.restoreAllMocks());
afterAll(() => daemon.stop());

const open = async (client: Client, query: string, headers: Record<string, string> = {}, signal: AbortSignal | null = null) =>
  fetch(`${daemon.url}/v1/events${query}`, {
    headers: { accept: 'text/event-stream', authorization: `Bearer ${client.token}`, ...headers },
    signal,
  });
const record = async (client: Client, events: object[]) =>
  expect((await client.request('POST', '/v1/events', { body: { events } })).status).toBe(201);
const small = Array.from({ length: 1000 }, () => message('small'));
const figure = async (series: string) => {
  const text = await (await fetch(`${daemon.url}/metrics`)).text();
  return Number(new RegExp(`^${series} (.*)$`, 'm').exec(text)![1]);
};
/** Changes timers of one length, so that the result does not depend on the speed of the machine. */
function changeTimers(kind: 'setTimeout' | 'setInterval', from_ms: number, to_ms: number): void {
  const real = globalThis[kind] as (work: () => void, ms?: number) => NodeJS.Timeout;
  const changed = (work: () => void, ms?: number) => real(work, ms === from_ms ? to_ms : ms);
  jest.spyOn(globalThis, kind).mockImplementation(changed as never);
}
const ENDLESS = 2 ** 31 - 1;
test('a reader that keeps up receives far more events than its buffer holds, from the past and live, without overflow', async () => {
  const total = 11_000;
  const bob = await newTenant(daemon.url);
  for (let i = 0; i < 5; i += 1) await record(bob, small);
  const abort = new AbortController();
  const events = readEvents(await open(bob, '?after=0', {}, abort.signal));
  const writing = (async () => {
    for (let i = 5; i < 11; i += 1) await record(bob, small);
  })();
  const seqs: number[] = [];
  for await (const { event, data, id } of events) {
    expect(event).not.toBe('overflow');
    if (data) seqs.push(Number(id));
    if (seqs.length === total) break;
  }
  await writing;
  abort.abort();
  expect(seqs).toEqual(Array.from({ length: total }, (_, i) => i + 1));
  expect(await figure('watch_drops_total')).toBe(0);
});

test('a reader that takes nothing loses its buffer, which has at most WATCH_BUFFER_SIZE events, and resumes without a gap', async () => {
  changeTimers('setTimeout', 30_000, ENDLESS);
  const [drops, resumes] = [await figure('watch_drops_total'), await figure('watch_resumes_total')];
  const response = await open(alice, '?after=0');
  await eventually(async () => (await figure('agent_memory_follower_overflows_total')) > 0, 'the overflow');
  const dropped = (await figure('watch_drops_total')) - drops;
  expect(dropped).toBeGreaterThan(0);
  expect(dropped).toBeLessThanOrEqual(20);
  const seen: number[] = [];
  let last: ServerSent = {};
  for await (const one of readEvents(response)) {
    if (one.event === 'message') seen.push(Number(one.id));
    last = one;
  }
  expect([last.event, JSON.parse(last.data!)]).toEqual(['overflow', { last_seq: seen.at(-1) }]);
  for await (const { event, id } of readEvents(await open(alice, '', { 'last-event-id': String(seen.at(-1)) }))) {
    if (event === 'message') seen.push(Number(id));
    if (seen.length === LARGE) break;
  }
  expect(seen).toEqual(Array.from({ length: LARGE }, (_, i) => i + 1));
  expect((await figure('watch_resumes_total')) - resumes).toBe(1);
});

test('while a reader takes nothing, the backlog counts the events that are buffered and those that are not read', async () => {
  changeTimers('setTimeout', 5_000, ENDLESS);
  const abort = new AbortController();
  const response = await open(alice, '?after=0', {}, abort.signal);
  // at most what the kernel holds has been taken
  await eventually(async () => (await figure('watch_clients_total')) === 1, 'the stream');
  expect(await figure('watch_backlog_events')).toBeGreaterThan(20);
  const seen: string[] = [];
  for await (const { data, id } of readEvents(response)) {
    if (data) seen.push(id!);
    if (seen.length === LARGE) break;
  }
  await eventually(async () => (await figure('watch_backlog_events')) === 0, 'the reader has caught up');
  abort.abort();
  await eventually(async () => (await figure('watch_clients_total')) === 0, 'the end of the stream');
});

test('a filter that matches nothing does not delay the position, which heartbeats send', async () => {
  changeTimers('setInterval', 15_000, 20);
  const abort = new AbortController();
  const bob = await newTenant(daemon.url);
  const events = readEvents(await open(bob, '?kind=decision', {}, abort.signal));
  await record(bob, small);
  for await (const { event, id } of events) {
    expect(event).toBeUndefined();
    if (id === '1000') break;
  }
  abort.abort();
});

describeOnServer('needs a second connection', () => {
  test('a stream whose position is trimmed ends, and its client gets 410 instead of a gap', async () => {
    changeTimers('setTimeout', 5_000, ENDLESS);
    const response = await open(alice, '?after=0');
    await eventually(async () => (await figure('watch_clients_total')) === 1, 'the stream');
    await withClient({ ...serverConnection(), database: daemon.env.PGDATABASE! }, (client) =>
      client.query('update tenant_clocks set oldest_seq = 299 where tenant_id = $1', [alice.tenant_id]),
    );
    let last = 0;
    for await (const { id } of readEvents(response)) last = Number(id);
    expect(last).toBeGreaterThan(0);
    expect(last).toBeLessThan(298);
    const resumed = await open(alice, '', { 'last-event-id': String(last) });
    expect([resumed.status, await resumed.json()]).toMatchObject([410, { oldest_seq: 299 }]);
  });
});
