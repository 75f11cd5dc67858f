import { type Client, message, newTenant } from '../support/client.ts';
import { withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer, onEmbedded } from '../support/database.ts';
import { readEvents } from '../support/sse.ts';

// Expensive filters: how much of the database a follower can use, and what it receives if its filter cannot finish. The cost of an event does not
// depend on the machine: the filter sleeps for the time in the metadata of the event.

/** Connections in addition to those of the workers. */
const POOL = 5;
const WORKERS = 2;
const STATEMENT_MS = 1_500;
let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon({
    PGSTATEMENT_TIMEOUT: String(STATEMENT_MS),
    PGPOOL_MAX: String(POOL + WORKERS),
    WORKERS: String(WORKERS),
  });
  if (!onEmbedded()) await makeFiltersSleep(daemon.env);
});
afterAll(() => daemon.stop());

/** Changes only the database of this test file. */
async function makeFiltersSleep({ PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD }: Record<string, string>): Promise<void> {
  const connection = { host: PGHOST!, port: Number(PGPORT), user: PGUSER!, database: PGDATABASE!, password: PGPASSWORD };
  await withClient(connection, (client) =>
    client.query(`
      alter function event_matches(events, jsonb, boolean, text) rename to event_matches_at_once;
      create function event_matches(p_event events, p_filter jsonb, p_withheld boolean, p_channel text) returns boolean
      language plpgsql as $$
      begin
        perform pg_sleep((p_event.metadata ->> 'sleep_s')::float8);
        return event_matches_at_once(p_event, p_filter, p_withheld, p_channel);
      end $$`),
  );
}

const costing = (sleep_ms: number) => message('x', { metadata: { sleep_s: sleep_ms / 1_000 } });
const follow = async (by: Client, filter: object, abort: AbortController) => {
  const query = `after=0&filter=${encodeURIComponent(JSON.stringify(filter))}`;
  const headers = { accept: 'text/event-stream', authorization: `Bearer ${by.token}` };
  const response = await fetch(`${daemon.url}/v1/events?${query}`, { headers, signal: abort.signal });
  expect(response.status).toBe(200);
  return readEvents(response);
};
const record = async (by: Client, events: object[]) =>
  expect((await by.request('POST', '/v1/events', { body: { events } })).status).toBe(201);

describeOnServer('the embedded engine does not cancel statements', () => {
  test('a range that exceeds the statement timeout is read in parts, and every event arrives', async () => {
    const alice = await newTenant(daemon.url);
    await record(
      alice,
      Array.from({ length: 20 }, () => costing(STATEMENT_MS / 10)),
    );
    const abort = new AbortController();
    const seen: number[] = [];
    for await (const { event, data } of await follow(alice, { kind: 'message' }, abort)) {
      expect(event).not.toBe('error');
      if (data) seen.push(JSON.parse(data).seq);
      if (seen.length === 20) break;
    }
    abort.abort();
    expect(seen).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
  });

  test('a stream whose filter times out on one event ends with an error, and other tenants are served meanwhile', async () => {
    const [alice, stranger] = [await newTenant(daemon.url), await newTenant(daemon.url)];
    await record(alice, [costing(0), costing(0), costing(60_000), costing(0)]);
    const abort = new AbortController();
    // different filters, so that no stream shares the read of another
    const streams = await Promise.all(Array.from({ length: POOL + 1 }, (_, i) => follow(alice, { seq: { lt: 1e9 + i } }, abort)));
    const ends = streams.map(async (stream) => {
      const got: [string | undefined, unknown][] = [];
      for await (const { event, data } of stream) {
        if (data) got.push([event, event === 'error' ? JSON.parse(data).last_seq : JSON.parse(data).seq]);
        // a stream that skipped the expensive event would not end
        if (got.length === 3) break;
      }
      return got;
    });
    let over = false;
    const all = Promise.all(ends).finally(() => {
      over = true;
    });
    // a connection is free for other requests
    for (let i = 0; i < 10 || !over; i += 1) expect((await stranger.request('GET', '/v1/events')).status).toBe(200);
    for (const got of await all)
      expect(got).toEqual([
        ['message', 1],
        ['message', 2],
        ['error', 2],
      ]);
  });
});

test('a filter with too many values returns 422', async () => {
  const alice = await newTenant(daemon.url);
  const status = async (filter: unknown) =>
    (await alice.request('GET', `/v1/events?filter=${encodeURIComponent(JSON.stringify(filter))}`)).status;
  const values = (count: number) => Array.from({ length: count }, (_, i) => `v${i}`);
  expect(await status({ 'metadata.a': { contains: values(16) } })).toBe(200);
  expect(await status({ 'metadata.a': { contains: values(17) } })).toBe(422);
  const negated = Array.from({ length: 17 }, (_, i) => ({ not: { 'metadata.a': { contains: `none-${i}` } } }));
  expect(await status({ and: negated })).toBe(422);
  expect(await status({ 'metadata.a': { in: values(100) } })).toBe(200);
  expect(await status({ 'metadata.a': { in: values(100) }, 'metadata.b': { nin: values(28) } })).toBe(200);
  expect(await status({ 'metadata.a': { in: values(100) }, 'metadata.b': { nin: values(29) } })).toBe(422);
  expect(await status({ tags: { contains: values(100) } })).toBe(200);
  expect(await status({ or: [{ tags: { contains: values(100) } }, { refs: { contains: values(29) } }] })).toBe(422);
});
