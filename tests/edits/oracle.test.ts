import { type Client, newColleague, newTenant, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { readEvents } from '../support/sse.ts';
import { decide, edit, record, team } from './client.ts';

// Filters and searches do not reveal withheld content.

let daemon: TestDaemon;
let alice: Client;
let bob: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
  bob = await newColleague(alice);
});
afterAll(() => daemon.stop());

const withSalary = (text: string, more: Record<string, unknown> = {}) =>
  team(text, { metadata: { salary: 4711 }, tags: ['payroll'], refs: ['ticket-7'], ...more });
const probes = [{ 'metadata.salary': { gte: 4000 } }, { tags: { contains: 'payroll' } }, { refs: { contains: 'ticket-7' } }];
const list = async (by: Client, what: string, query: string, channel = 'team') =>
  (await by.request('GET', `/v1/${what}?channel=${channel}&${query}`)).body.data as Record<string, any>[];
const probe = (filter: unknown) => `filter=${encodeURIComponent(JSON.stringify(filter))}`;
/** Returns the number of events that match the tag and each filter. */
const found = async (by: Client, channel = 'team') => [
  (await list(by, 'events', 'tag=payroll', channel)).length,
  ...(await Promise.all(probes.map(async (filter) => (await list(by, 'events', probe(filter), channel)).length))),
];

test('a filter does not match withheld fields, only the shown ones', async () => {
  const event = await record(alice, withSalary('bob earns 4711'));
  expect(await found(bob)).toEqual([1, 1, 1, 1]);
  const made = await edit(alice, event.event_id, 'retract');
  expect(await found(bob)).toEqual([0, 0, 0, 0]);
  expect(await found(alice)).toEqual([0, 0, 0, 0]);
  const [shown] = await list(bob, 'events', probe({ kind: 'message', not: { 'metadata.salary': { exists: true } } }));
  expect(shown).toMatchObject({ event_id: event.event_id, metadata: {}, tags: [], refs: [], content: { withheld: true } });
  await decide(alice, made.edit_id, 'revert');
  expect(await found(bob)).toEqual([1, 1, 1, 1]);
});

test('a blocked event matches filters only in other channels; a quarantined one in none', async () => {
  const event = await record(alice, withSalary('bob earns 4711', { channel: 'public' }));
  await edit(alice, event.event_id, 'block', { channel: 'public' });
  expect([await found(bob, 'public'), await found(bob, 'team')]).toEqual([
    [0, 0, 0, 0],
    [1, 1, 1, 1],
  ]);
  const long = await record(alice, withSalary(Array.from({ length: 600 }, (_, i) => `word${i}`).join(' ')));
  await edit(alice, long.chunk_ids[1]!, 'block', { channel: 'team' });
  expect(await found(bob, 'team')).toEqual([1, 1, 1, 1]);
  await edit(alice, event.event_id, 'quarantine');
  expect(await found(bob, 'team')).toEqual([0, 0, 0, 0]);
});

test('an event of a withheld memory does not match filters over the memory', async () => {
  const memory = (text: string, more: object) =>
    bob.request('POST', '/v1/memories', {
      body: { kind: 'fact', text, scope: 'project', project_id: 'p', channel: 'team', ...more },
    });
  const { memory_id } = (await memory('bob earns 4711', { importance: 0.9, scope: 'session', session_id: 's' })).body;
  const filters = [{ kind: 'fact' }, { importance: { gte: 0.8 } }, { scope: 'session' }];
  const counts = () => Promise.all(filters.map(async (filter) => (await list(bob, 'events', probe(filter))).length));
  expect(await counts()).toEqual([1, 1, 1]);
  await edit(alice, memory_id, 'retract');
  expect(await counts()).toEqual([0, 0, 0]);
  expect(await list(bob, 'events', probe({ kind: 'memory.created' }))).toHaveLength(1);
});

test('with as_of_seq, filters match the tags of that version, not those of a withheld one', async () => {
  const body = { kind: 'fact', text: 'rain is wet', scope: 'session', session_id: 's', channel: 'team', tags: ['weather'] };
  const { memory_id, seq } = (await bob.request('POST', '/v1/memories', { body })).body;
  await bob.request('PATCH', `/v1/memories/${memory_id}`, {
    body: { text: 'bob earns 4711', tags: ['payroll'], importance: 0.9 },
  });
  await edit(alice, memory_id, 'retract');
  const asked = async (filter: unknown) => (await list(bob, 'memories', `as_of_seq=${seq}&${probe(filter)}`)).length;
  expect(await asked({ tags: { contains: 'payroll' } })).toBe(0);
  expect(await asked({ tags: { contains: 'weather' } })).toBe(1);
  // the event of the first version does not match fields of the second one either
  expect(await list(bob, 'events', probe({ importance: { gte: 0.8 } }))).toEqual([]);
});

test('followers and searches reveal no more than lists', async () => {
  const words = Array.from({ length: 600 }, (_, i) => (i % 50 === 0 ? 'heron' : `word${i}`)).join(' ');
  const event = await record(alice, withSalary(words));
  await edit(alice, event.chunk_ids[1]!, 'block', { channel: 'team' });
  const search = async (query: string, channel: string) => {
    const answer = await bob.request('POST', '/v1/search', { body: { query, channel, limit: 200, filter: probes[0] } });
    expect(answer.status).toBe(200);
    return answer.body.data.length;
  };
  expect([await search('heron', 'team'), await search('the', 'team')]).toEqual([0, 0]);
  expect(await search('heron', 'private')).toBeGreaterThan(0);
  const last = await record(alice, withSalary('bob earns 4711'));
  const abort = new AbortController();
  const response = await fetch(`${daemon.url}/v1/events?channel=team&after=0&${probe(probes[0])}`, {
    headers: { accept: 'text/event-stream', authorization: `Bearer ${bob.token}` },
    signal: abort.signal,
  });
  const events = readEvents(response);
  for (let next = await events.next(); !next.done; next = await events.next()) {
    if (!next.value.data) continue;
    expect(JSON.parse(next.value.data).seq).toBe(last.seq);
    break;
  }
  abort.abort();
});

test('an export withholds events that are blocked in all channels of the credential', async () => {
  const [blocked, other] = [await record(alice, withSalary('bob earns 4711')), await record(alice, team('the sky is blue'))];
  await edit(alice, blocked.event_id, 'block', { channel: 'team' });
  const apart = await record(alice, team('in quarantine'));
  await edit(alice, apart.event_id, 'quarantine');
  const own = await record(bob, team('bob is shy', { channel: 'private', actor: { type: 'human', id: 'bob' } }));
  await edit(alice, own.event_id, 'block', { channel: 'private' });
  const shown = async (channels: string[] | undefined) => {
    const made = await bob.request('POST', '/auth/api-keys', { body: { name: 'k', role: 'member', scopes: ['read'], channels } });
    const { status, body } = await send<string>(daemon.url, 'GET', '/v1/export', {}, made.body.api_key);
    expect(status).toBe(200);
    const lines = body
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    return lines
      .filter(({ type, kind }) => type === 'event' && kind === 'message')
      .map(({ seq, content }) => [seq, content.text]);
  };
  expect(await shown(['team'])).toEqual([
    [blocked.seq, undefined],
    [other.seq, 'the sky is blue'],
    [apart.seq, undefined],
  ]);
  expect(await shown(undefined)).toEqual([
    [blocked.seq, 'bob earns 4711'],
    [other.seq, 'the sky is blue'],
    [apart.seq, undefined],
    [own.seq, undefined],
  ]);
});
