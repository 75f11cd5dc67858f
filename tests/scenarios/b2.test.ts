import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../../src/config.ts';
import { openWorkers, type Workers } from '../../src/work/index.ts';
import { workerDataOf } from '../../src/workers.ts';
import { type Client, message, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// B2: one member cannot slow down the others. The slow jobs never end, so that the result does not depend on the machine;
// `npm run bench -- neighbours` measures the latencies.

const KIB = 1024;
const MIB = 1024 * KIB;

let daemon: TestDaemon;
let workers: Workers;
const held = (config: Config) =>
  openWorkers({
    entry: join(import.meta.dirname, 'blocking-worker.ts'),
    data: workerDataOf(config),
    size: 2,
    maxQueued: 20,
  });
beforeAll(async () => {
  daemon = await startTestDaemon({ REQUEST_TIMEOUT_MS: '120000' }, undefined, (config) => {
    workers = held(config);
    return workers;
  });
});
afterAll(() => daemon.stop());

const padding = 'quite harmless words '.repeat(5_000);
const note = (words: string) => ({ kind: 'note', scope: 'global', channel: 'team', session_id: 's', text: words });
const text = { headers: { 'content-type': 'text/plain' } };

/** Sends every kind of large request. Returns the statuses. */
async function sendLargeRequests(client: Client): Promise<number[]> {
  const answers = [
    await client.request('POST', '/v1/events', { body: message('short') }),
    await client.request('POST', '/v1/events', { body: { events: [message(padding), message('beside it')] } }),
    await client.request('POST', '/v1/events', { body: message('with metadata', { metadata: { padding } }) }),
    await client.request('POST', '/v1/artifacts', { body: padding, ...text }),
    await client.request('POST', '/v1/memories', { body: note(padding) }),
    await client.request('POST', '/v1/search', { body: { query: 'harmless' } }),
    await client.request('GET', '/v1/events'),
  ];
  return answers.map(({ status }) => status);
}
const all2xx = [201, 201, 201, 201, 201, 200, 200];

async function until(what: () => boolean): Promise<void> {
  for (let i = 0; !what(); i += 1) {
    if (i > 2_000) throw new Error(`timed out: ${what}`);
    await sleep(20);
  }
}

test('B2 while the jobs of one member never end, every request of another tenant is served; an aborted request frees its thread', async () => {
  const [mallory, alice] = [await newTenant(daemon.url), await newTenant(daemon.url)];
  const leave = new AbortController();
  const forever = `block this thread forever ${padding}`;
  const headers = { authorization: `Bearer ${mallory.token}` };
  const json = { ...headers, 'content-type': 'application/json' };
  const hold = (path: string, body: string, as: Record<string, string>) =>
    fetch(daemon.url + path, { method: 'POST', body, headers: as, signal: leave.signal }).then(
      ({ status }) => status,
      () => 'left',
    );
  const jobs = Array.from({ length: 8 }, (_, i) => {
    if (i % 3 === 0) return hold('/v1/artifacts', forever, { ...headers, 'content-type': 'text/plain' });
    if (i % 3 === 1) return hold('/v1/events', JSON.stringify({ events: [message(forever)] }), json);
    return hold('/v1/memories', JSON.stringify(note(forever)), json);
  });
  await until(() => workers.figures().waiting === 7);
  expect(await sendLargeRequests(alice)).toEqual(all2xx);
  expect(workers.figures()).toEqual({ waiting: 7, running: 1 });
  // small requests of the same member are served too
  expect((await mallory.request('POST', '/v1/events', { body: message('small') })).status).toBe(201);

  leave.abort();
  expect(await Promise.all(jobs)).toEqual(Array(8).fill('left'));
  await until(() => workers.figures().waiting === 0 && workers.figures().running === 0);
  expect(await sendLargeRequests(mallory)).toEqual(all2xx);
});

test('B2 a job that exceeds the request timeout returns 503 and is terminated', async () => {
  const impatient = await startTestDaemon({ REQUEST_TIMEOUT_MS: '20000' }, undefined, held);
  try {
    const mallory = await newTenant(impatient.url);
    const refused = await mallory.request('POST', '/v1/artifacts', { body: `block this thread forever ${padding}`, ...text });
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await sendLargeRequests(mallory)).toEqual(all2xx);
  } finally {
    await impatient.stop();
  }
});

test('B2 a large body is stored, searched, screened and replayed like a small one', async () => {
  const alice = await newTenant(daemon.url);
  const secret = 'password = Tr0ub4dor&3xyz';
  const events = [
    message(`needle-one ${padding}`, { metadata: { deep: { list: [1, 'ü', null, padding] } } }),
    message(`it says ${secret}`),
    { ...message(''), kind: 'decision', content: { decision: 'bodies are parsed by workers' } },
  ];
  const key = { headers: { 'idempotency-key': 'large' } };
  const first = await alice.request('POST', '/v1/events', { body: { events }, ...key });
  expect(first.status).toBe(201);
  const [one, two, three] = first.body.data;
  expect(three.memory_id).toMatch(/^mem_/);
  const { body: stored } = await alice.request('GET', `/v1/events/${one.event_id}`);
  expect(stored.metadata).toEqual({ deep: { list: [1, 'ü', null, padding] } });
  const artifact = await alice.request<string>('GET', `/v1/artifacts/${one.artifact_id}`);
  expect(artifact.body).toBe(`needle-one ${padding}`);
  const { body: screened } = await alice.request('GET', `/v1/events/${two.event_id}`);
  expect(JSON.stringify(screened)).not.toContain('Tr0ub4dor');
  const { body: found } = await alice.request('POST', '/v1/search', { body: { query: 'needle-one' } });
  expect(found.data.map(({ event_id }: { event_id: string }) => event_id)).toContain(one.event_id);

  const again = await alice.request('POST', '/v1/events', { body: JSON.stringify({ events }, null, 1), ...key });
  expect([again.status, again.headers.get('idempotent-replay'), again.body]).toEqual([201, 'true', first.body]);
  const other = await alice.request('POST', '/v1/events', { body: { events: [...events, message('one more')] }, ...key });
  expect(other.status).toBe(409);
});

test('B2 equal values have the same hash, whether a worker parses the body or not', async () => {
  const alice = await newTenant(daemon.url);
  const body = message('the same', { metadata: { list: Array(200).fill({ a: 1 }) } });
  const sent = (indent: number) =>
    alice.request('POST', '/v1/events', { body: JSON.stringify(body, null, indent), headers: { 'idempotency-key': 'k' } });
  const [small, large] = [await sent(0), await sent(10)];
  expect(JSON.stringify(body).length).toBeLessThan(64 * KIB);
  expect(JSON.stringify(body, null, 10).length).toBeLessThan(64 * KIB);
  const padded = await alice.request('POST', '/v1/events', {
    body: `${JSON.stringify(body)}${' '.repeat(100 * KIB)}`,
    headers: { 'idempotency-key': 'k' },
  });
  expect([large, padded].map(({ headers }) => headers.get('idempotent-replay'))).toEqual(['true', 'true']);
  expect([large.body, padded.body]).toEqual([small.body, small.body]);
});

test('B2 the errors of a large body are the same as those of a small one', async () => {
  const alice = await newTenant(daemon.url);
  const told = async (path: string, body: unknown) => {
    const { status, body: problem } = await alice.request('POST', path, { body });
    return [status, problem.errors?.[0]?.pointer];
  };
  expect(await told('/v1/events', { events: [message('a'), message(padding, { channel: 'nowhere' })] })).toEqual([
    422,
    '#/events/1/channel',
  ]);
  expect(await told('/v1/events', `{"events":[],"events":[${JSON.stringify(message(padding))}]}`)).toEqual([400, '#/events']);
  expect(await told('/v1/events', `{"text":"${padding}`)).toEqual([400, '#']);
  expect((await told('/v1/events', { events: [{ ...message(padding), tenant_id: 'another' }] }))[0]).toBe(403);
  expect((await told('/v1/memories', { ...note(padding), tenant_id: 'another' }))[0]).toBe(403);
  expect(await told('/v1/memories', { ...note(padding), kind: 'nothing' })).toEqual([422, '#/kind']);
});

test('B2 a JSON body may have 2 MiB, a list of events more', async () => {
  const alice = await newTenant(daemon.url);
  const metadata = { list: Array(9).fill('x'.repeat(100_000)) };
  const events = Array.from({ length: 3 }, (_, i) => message(`part ${i}`, { metadata }));
  expect(JSON.stringify(events).length).toBeGreaterThan(2 * MIB);
  const batch = await alice.request('POST', '/v1/events', { body: { events } });
  expect(batch.status).toBe(201);
  const { body: last } = await alice.request('GET', `/v1/events/${batch.body.data[2].event_id}`);
  expect(last.metadata).toEqual(metadata);
  expect((await alice.request('POST', '/v1/events', { body: message('x'.repeat(2 * MIB)) })).status).toBe(413);
  expect((await alice.request('POST', '/v1/search', { body: { query: 'x'.repeat(2 * MIB) } })).status).toBe(413);
  const { body } = await alice.request('GET', '/v1/events');
  expect(body.data).toHaveLength(3);
});
