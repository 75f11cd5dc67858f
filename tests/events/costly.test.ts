import { type Client, message, newTenant, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { theEngine } from '../support/engine.ts';
import { readEvents } from '../support/sse.ts';

// Filters that cost much: what a follower may take of the database, and what it is told where nothing comes of it.

const POOL = 5;
let daemon: TestDaemon;
/** Its statements may take as long as they do elsewhere: what is written is not what is tried here. */
let writer: TestDaemon | undefined;
beforeAll(async () => {
  daemon = await startTestDaemon({
    PGSTATEMENT_TIMEOUT: '700',
    PGPOOL_MAX: String(POOL),
    MAX_EVENT_BYTES: String(4 * 1024 * 1024),
  });
  // the embedded engine has one daemon, and gives no statement up
  if (theEngine().kind === 'postgres') writer = await startTestDaemon({ MAX_EVENT_BYTES: String(16 * 1024 * 1024) }, daemon.env);
});
afterAll(async () => {
  await writer?.stop();
  await daemon.stop();
});

/** True of every event, after having looked through all of `metadata.a` for each of its values. */
const costly = (values: number) => ({
  and: Array.from({ length: values }, (_, i) => ({ not: { 'metadata.a': { contains: `none-${i}` } } })),
});
const follow = async (by: Client, filter: object, abort: AbortController) => {
  const query = `after=0&filter=${encodeURIComponent(JSON.stringify(filter))}`;
  const headers = { accept: 'text/event-stream', authorization: `Bearer ${by.token}` };
  const response = await fetch(`${daemon.url}/v1/events?${query}`, { headers, signal: abort.signal });
  expect(response.status).toBe(200);
  return readEvents(response);
};
const record = async (by: Client, events: object[]) =>
  expect((await send((writer ?? daemon).url, 'POST', '/v1/events', { body: { events } }, by.token)).status).toBe(201);

/** Six times what an event may have by default: it takes the filter seconds. */
const huge = 'lorem ipsum '.repeat(500_000);

test('a stretch that takes too long is taken in parts, and everything arrives', async () => {
  const alice = await newTenant(daemon.url);
  const text = 'lorem ipsum '.repeat(8_000);
  for (let i = 0; i < 10; i += 1)
    await record(
      alice,
      Array.from({ length: 10 }, () => message('x', { metadata: { a: text } })),
    );
  const abort = new AbortController();
  const seen: number[] = [];
  for await (const { event, data } of await follow(alice, costly(16), abort)) {
    expect(event).not.toBe('error');
    if (data) seen.push(JSON.parse(data).seq);
    if (seen.length === 100) break;
  }
  abort.abort();
  expect(seen).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
});

// the embedded engine gives no statement up
const postgresTest = theEngine().kind === 'postgres' ? test : test.skip;

postgresTest(
  'where one event costs too much the stream says so and ends, and other tenants are served meanwhile',
  async () => {
    const [alice, stranger] = [await newTenant(daemon.url), await newTenant(daemon.url)];
    await record(alice, [message('x'), message('y')]);
    await record(alice, [message('huge', { metadata: { a: huge } })]);
    await record(alice, [message('z')]);
    const abort = new AbortController();
    // each of another filter, so that none shares another's read
    const streams = await Promise.all(
      Array.from({ length: 2 * POOL }, (_, i) => follow(alice, { ...costly(16), seq: { lt: 1e9 + i } }, abort)),
    );
    const ends = streams.map(async (stream) => {
      const got: [string | undefined, unknown][] = [];
      for await (const { event, data } of stream) {
        if (data) got.push([event, event === 'error' ? JSON.parse(data).last_seq : JSON.parse(data).seq]);
        // a stream that went past the costly event would not end
        if (got.length === 3) break;
      }
      return got;
    });
    let over = false;
    const all = Promise.all(ends).finally(() => {
      over = true;
    });
    // a connection is free for them: each is answered
    for (let i = 0; i < 10 || !over; i += 1) expect((await stranger.ask('GET', '/v1/events')).status).toBe(200);
    for (const got of await all)
      expect(got).toEqual([
        ['message', 1],
        ['message', 2],
        ['error', 2],
      ]);
  },
  240_000,
);

test('a filter that would cost more is refused: each value counts', async () => {
  const alice = await newTenant(daemon.url);
  const status = async (filter: unknown) =>
    (await alice.ask('GET', `/v1/events?filter=${encodeURIComponent(JSON.stringify(filter))}`)).status;
  const values = (count: number) => Array.from({ length: count }, (_, i) => `v${i}`);
  expect(await status({ 'metadata.a': { contains: values(16) } })).toBe(200);
  expect(await status({ 'metadata.a': { contains: values(17) } })).toBe(422);
  expect(await status(costly(17))).toBe(422);
  expect(await status({ 'metadata.a': { in: values(100) } })).toBe(200);
  expect(await status({ 'metadata.a': { in: values(100) }, 'metadata.b': { nin: values(28) } })).toBe(200);
  expect(await status({ 'metadata.a': { in: values(100) }, 'metadata.b': { nin: values(29) } })).toBe(422);
  expect(await status({ tags: { contains: values(100) } })).toBe(200);
  expect(await status({ or: [{ tags: { contains: values(100) } }, { refs: { contains: values(29) } }] })).toBe(422);
});
