import { type Client, message, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { readEvents } from '../support/sse.ts';

// A7: private items never appear in public. A query in a public channel, or in the private channel of another member, asks for a private preference: no
// context, search, list or stream contains it, nor any count or id of it; the event is still stored.

const preference = 'I prefer marzipan over nougat, remember that';
const question = 'What do I prefer, marzipan or nougat?';

let daemon: TestDaemon;
let alice: Client;
let bob: Client;
let event: { event_id: string; chunk_ids: string[]; seq: number };
let hidden: string[];

beforeAll(async () => {
  daemon = await startTestDaemon();
  alice = await newTenant(daemon.url);
  bob = await newColleague(alice);
  event = (await alice.request('POST', '/v1/events', { body: message(preference) })).body as typeof event;
  hidden = [event.event_id, ...event.chunk_ids, 'marzipan'];
});
afterAll(() => daemon.stop());

const leaks = (body: unknown) =>
  hidden.filter((word) => JSON.stringify(body).replaceAll(JSON.stringify(question).slice(1, -1), '').includes(word));

const places = [
  ['her public channel', () => alice, 'public'],
  ['her agent channel', () => alice, 'agent'],
  ['her team channel', () => alice, 'team'],
  ['another member’s private channel', () => bob, 'private'],
] as const;

describe.each(places)('A7 in %s', (_name, who, channel) => {
  test('the context contains no trace of the event', async () => {
    const { status, body } = await who().request('POST', '/v1/context?render=text', {
      body: { session_id: 's1', channel, query_text: question, max_tokens: 2000 },
    });
    expect(status).toBe(200);
    expect(leaks({ ...body, provenance: { ...body.provenance, query_terms: [] } })).toEqual([]);
    expect([
      body.provenance.candidate_pool_size,
      body.provenance.retrieved,
      body.provenance.deduplicated,
      body.omissions,
    ]).toEqual([0, 0, 0, []]);
    expect(body.sections.flatMap((section: { items: unknown[] }) => section.items)).toEqual([]);
  });

  test('search and lists are empty', async () => {
    const search = await who().request('POST', '/v1/search', { body: { query: question, channel, explain: true } });
    expect([search.status, search.body.data]).toEqual([200, []]);
    const list = await who().request('GET', `/v1/events?channel=${channel}`);
    expect([list.status, list.body.data, list.body.next_cursor]).toEqual([200, [], null]);
  });
});

test('A7 the event is stored: its subject finds it in the private channel by id, by search and in a context', async () => {
  expect((await alice.request('GET', `/v1/events/${event.event_id}`)).body.content.text).toBe(preference);
  expect((await bob.request('GET', `/v1/events/${event.event_id}`)).status).toBe(404);
  expect((await bob.request('GET', `/v1/chunks/${event.chunk_ids[0]}`)).status).toBe(404);
  const { body } = await alice.request('POST', '/v1/search', { body: { query: question, channel: 'private' } });
  expect(body.data[0].event_id).toBe(event.event_id);
  const context = await alice.request('POST', '/v1/context', {
    body: { session_id: 's1', channel: 'private', query_text: question },
  });
  expect(leaks(context.body)).toContain('marzipan');
});

// last, because its marker is public
test.each(places)('A7 in %s a follower does not receive the event', async (_name, who, channel) => {
  const abort = new AbortController();
  const headers = { accept: 'text/event-stream', authorization: `Bearer ${who().token}` };
  const stream = readEvents(await fetch(`${daemon.url}/v1/events?channel=${channel}&after=0`, { headers, signal: abort.signal }));
  const marker = await alice.request('POST', '/v1/events', {
    body: message('for everyone', { channel: 'public', session_id: 'marker' }),
  });
  for await (const { data } of stream) {
    if (!data) continue;
    expect(leaks(data)).toEqual([]);
    if (JSON.parse(data).seq === marker.body.seq) break;
  }
  abort.abort();
});
