import fc from 'fast-check';
import { parseTime } from '../../src/time.ts';
import { type Client, message, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { type Receiver, startReceiver } from '../webhooks/receiver.ts';
import { exportAndImport, listed, post, readEverywhere, subscribe } from './read_paths.ts';

// B1: everything that the service accepts reads back equal through every API. `B1_RUNS` sets the number of values.

const RUNS = Number(process.env.B1_RUNS ?? 40);

let daemon: TestDaemon;
let alice: Client;
let receiver: Receiver;
beforeAll(async () => {
  daemon = await startTestDaemon({ WEBHOOK_ALLOW_PRIVATE: 'true' });
});
afterAll(() => daemon.stop());
beforeEach(async () => {
  [alice, receiver] = [await newTenant(daemon.url), await startReceiver()];
});
afterEach(() => receiver.close());

const pad = (value: number, digits = 2) => String(value).padStart(digits, '0');
const anyTime = fc
  .record({
    year: fc.oneof(fc.integer({ min: 1, max: 9999 }), fc.constantFrom(1, 23, 50, 99, 100, 1582, 1969, 2000, 9999)),
    month: fc.integer({ min: 1, max: 12 }),
    day: fc.integer({ min: 1, max: 31 }),
    hour: fc.integer({ min: 0, max: 23 }),
    minute: fc.integer({ min: 0, max: 59 }),
    second: fc.integer({ min: 0, max: 59 }),
    fraction: fc.oneof(fc.constant(''), fc.stringMatching(/^\.\d{1,9}$/)),
    zone: fc.constantFrom('Z', 'z', '+00:00', '-00:00', '+14:00', '-12:00', '+05:45', '-00:01', '+23:59'),
    t: fc.constantFrom('T', 't'),
  })
  .map(
    ({ year, month, day, hour, minute, second, fraction, zone, t }) =>
      `${pad(year, 4)}-${pad(month)}-${pad(day)}${t}${pad(hour)}:${pad(minute)}:${pad(second)}${fraction}${zone}`,
  )
  .filter((text) => parseTime(text) !== undefined);

test('a time in any year from 1 to 9999 reads back equal through every API, and is found by `since` and `until`', async () => {
  await subscribe(alice, receiver);
  // the named ones last: a context holds the newest events of the session, however many are sampled
  const times = [...fc.sample(anyTime, RUNS), '0001-01-01T00:00:00Z', '0023-06-15T12:30:00Z', '9999-12-31T23:59:59.999999Z'];
  const wanted = times.map((text) => parseTime(text)!);
  await post(alice, '/v1/events', {
    events: times.map((occurred_at, i) => message(`the lighthouse keeper number${i}`, { occurred_at, tags: [`n:${i}`] })),
  });
  for (const [place, events] of Object.entries(await readEverywhere(alice, receiver)))
    expect([place, events.map(({ occurred_at }) => occurred_at)]).toEqual([place, wanted]);
  for (const [i, at] of wanted.entries()) {
    const { body: found } = await alice.request('POST', '/v1/search', { body: { query: `number${i}`, limit: 50 } });
    expect([i, found.data.find(({ text }: any) => text.endsWith(`number${i}`))?.occurred_at]).toEqual([i, at]);
    const filter = encodeURIComponent(JSON.stringify({ occurred_at: times[i], tags: { contains: `n:${i}` } }));
    for (const query of [`since=${encodeURIComponent(times[i]!)}&tag=n:${i}`, `filter=${filter}`])
      expect([
        query,
        (await alice.request('GET', `/v1/events?${query}`)).body.data.map(({ occurred_at }: any) => occurred_at),
      ]).toEqual([query, [at]]);
    expect((await alice.request('GET', `/v1/events?until=${encodeURIComponent(times[i]!)}&tag=n:${i}`)).body.data).toEqual([]);
    const asOf = {
      query: `number${i}`,
      as_of: times[i],
      filter: { occurred_at: { lte: times[i] }, tags: { contains: `n:${i}` } },
    };
    const { body: then } = await alice.request('POST', '/v1/search', { body: asOf });
    expect([i, then.detail, then.data?.length]).toEqual([i, undefined, 1]);
  }
  const { status, body: context } = await alice.request('POST', '/v1/context', {
    body: { session_id: 's1', channel: 'private', query_text: 'lighthouse keeper', max_tokens: 20_000 },
  });
  expect([status, context.detail, JSON.stringify(context.sections)]).toEqual([
    200,
    undefined,
    expect.stringContaining('0023-06-15'),
  ]);
  const other = await exportAndImport(alice);
  expect((await listed(other, '/v1/events')).map(({ occurred_at }) => occurred_at)).toEqual(wanted);
});

test('the times of a memory read back equal in answers, lists, versions and after an import', async () => {
  const between = ['0001-01-01T00:00:00Z', '2026-01-05T10:00:00.000001+05:45', ...fc.sample(anyTime, RUNS)];
  const later = fc.sample(
    anyTime.filter((text) => parseTime(text)! > '2101'),
    between.length,
  );
  const memories = between.map((valid_from, i) => ({
    kind: 'rule',
    channel: 'team',
    text: `rule number ${i}`,
    ...(parseTime(valid_from)! < '2100' && { valid_from }),
    valid_to: later[i],
    expires_at: later[i],
  }));
  const wanted = memories.map(({ valid_from, valid_to, expires_at }) =>
    [valid_from, valid_to, expires_at].map((at) => at && parseTime(at)),
  );
  const timesOf = (list: any[]) => list.map(({ valid_from, valid_to, expires_at }) => [valid_from, valid_to, expires_at]);
  const { data } = await post(alice, '/v1/memories', { memories });
  expect(timesOf(data)).toEqual(wanted);
  expect(timesOf(await listed(alice, '/v1/memories?order=asc'))).toEqual(wanted);
  for (const [i, { memory_id }] of data.entries()) {
    expect(timesOf([(await alice.request('GET', `/v1/memories/${memory_id}`)).body])).toEqual([wanted[i]]);
    expect(timesOf((await alice.request('GET', `/v1/memories/${memory_id}/versions`)).body.data)).toEqual([wanted[i]]);
  }
  const other = await exportAndImport(alice);
  expect(timesOf(await listed(other, '/v1/memories?order=asc'))).toEqual(wanted);
  expect((await other.request('GET', '/v1/consistency')).body.ok).toBe(true);
});

test.each([
  ['0001-01-01T00:00:00+14:00'],
  ['9999-12-31T23:59:59-00:01'],
  ['2026-02-29T00:00:00Z'],
  ['2026-01-05T24:00:00Z'],
  ['2016-12-31T23:59:60Z'],
  ['10000-01-01T00:00:00Z'],
  ['infinity'],
])('every field and parameter for a time rejects %s', async (time) => {
  const at = encodeURIComponent(time);
  const bodies: [string, unknown][] = [
    ['/v1/events', message('x', { occurred_at: time })],
    ...['valid_from', 'valid_to', 'expires_at'].map((name): [string, unknown] => [
      '/v1/memories',
      { kind: 'note', channel: 'team', text: 'x', [name]: time },
    ]),
    ['/v1/search', { query: 'x', as_of: time }],
    ['/v1/search', { query: 'x', filter: { occurred_at: { gt: time } } }],
    ['/v1/context', { query_text: 'x', as_of: time }],
    ['/v1/capsules', { items: ['evt_1'], audience: 'all', channel: 'team', expires_at: time }],
    ['/auth/api-keys', { name: 'k', role: 'member', scopes: ['read'], expires_at: time }],
  ];
  for (const [path, body] of bodies) expect([path, (await alice.request('POST', path, { body })).status]).toEqual([path, 422]);
  const paths = ['/v1/events?since=', '/v1/events?until=', '/v1/memories?since=', '/v1/memories?as_of=', '/v1/audit?since='];
  for (const path of paths) expect([path, (await alice.request('GET', `${path}${at}`)).status]).toEqual([path, 422]);
});

test('the expiry of a key and of a capsule reads back with microseconds', async () => {
  const expires_at = `${new Date().getUTCFullYear() + 1}-01-01T00:00:00.123456Z`;
  const { event_id } = await post(alice, '/v1/events', message('to hand over', { channel: 'team' }));
  const key = await post(alice, '/auth/api-keys', { name: 'k', role: 'member', scopes: ['read'], expires_at });
  const capsule = await post(alice, '/v1/capsules', { items: [event_id], audience: 'all', channel: 'team', expires_at });
  expect([key.expires_at, capsule.expires_at]).toEqual([expires_at, expires_at]);
  expect((await listed(alice, '/auth/api-keys')).map((one) => one.expires_at)).toEqual([expires_at]);
  expect((await listed(alice, '/v1/capsules')).map((one) => one.expires_at)).toEqual([expires_at]);
});
