import { exportTenant, importFile, jobDone, linesOf } from '../export/file.ts';
import { type Client, message, newTenant } from '../support/client.ts';
import { type TestConnection, withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer } from '../support/database.ts';
import { testEngine } from '../support/engine.ts';
import { eventually } from '../support/eventually.ts';
import { readEvents } from '../support/sse.ts';
import { type Receiver, startReceiver } from '../webhooks/receiver.ts';

// B1: a row that was corrupted in the database does not block anything: it is skipped and reported.

const WHY = 'the daemon uses the only session, so the test cannot write to its tables';

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

async function damage(statement: string): Promise<void> {
  const engine = testEngine();
  if (engine.kind !== 'postgres') throw new Error('a second connection is needed');
  const connection: TestConnection = { ...engine.cluster.admin, database: daemon.env.PGDATABASE! };
  const { rowCount } = await withClient(connection, (client) =>
    client.query(statement.replaceAll('$tenant', `'${alice.tenant_id}'`)),
  );
  expect(rowCount).toBeGreaterThan(0);
}

const ok = async (method: string, path: string, body?: unknown) => {
  const answer = await alice.request(method, path, body === undefined ? {} : { body });
  expect([method, path, answer.status, answer.body.detail]).toEqual([method, path, expect.any(Number), undefined]);
  expect(answer.status).toBeLessThan(300);
  return answer.body;
};
const record = (text: string, more: Record<string, unknown> = {}) =>
  ok('POST', '/v1/events', message(text, { channel: 'team', user_id: 'zoe', ...more }));

async function follow(upto: number) {
  const abort = new AbortController();
  const headers = { accept: 'text/event-stream', authorization: `Bearer ${alice.token}` };
  const response = await fetch(`${alice.url}/v1/events?after=0`, { headers, signal: abort.signal });
  const got: [string, number][] = [];
  for await (const { event, data, id } of readEvents(response)) {
    if (data) got.push([event!, JSON.parse(data).seq]);
    if (Number(id) >= upto) break;
  }
  abort.abort();
  return got;
}

const findings = async () => {
  const { checks } = await ok('GET', '/v1/consistency');
  return checks.find(({ name }: { name: string }) => name === 'unreadable_rows');
};

async function isExported(bad: number, last: number): Promise<void> {
  const file = await exportTenant(alice);
  expect(linesOf(file).filter(({ type }) => type === 'unreadable')).toEqual([
    { type: 'unreadable', part: 'event', row: bad, reason: expect.any(String) },
  ]);
  const other = await newTenant(daemon.url);
  const taken = await importFile(other, file);
  expect([taken.status, taken.body.detail]).toEqual([202, undefined]);
  expect((await jobDone(other, taken.body.job_id)).state).toBe('done');
  const copy = (await other.request('GET', '/v1/events')).body;
  expect(copy.data.map(({ seq, content }: any) => [seq, content.unreadable])).toEqual([
    [1, undefined],
    [bad, true],
    [last, undefined],
  ]);
}

async function jobsGoOn(): Promise<void> {
  const { job_id } = await ok('POST', '/v1/consistency/repair');
  expect((await jobDone(alice, job_id)).result).toMatchObject({ remaining: expect.arrayContaining(['unreadable_rows']) });
  await ok('PUT', '/v1/retention', { rules: [{ kind: 'message', older_than_days: 36_500 }] });
  expect((await jobDone(alice, (await ok('POST', '/v1/retention/runs')).job_id)).state).toBe('done');
  const erasure = await ok('POST', '/v1/erasures', { user_id: 'zoe' });
  const job = await jobDone(alice, erasure.job_id);
  expect([job.state, job.problem]).toEqual(['done', undefined]);
}

const ways: [string, string][] = [
  ['an infinite time', `occurred_at = 'infinity'`],
  ['a time of minus infinity', `occurred_at = '-infinity', created_at = '-infinity'`],
  ['a time before Christ', `occurred_at = '0044-03-15 12:00:00 BC'`],
  ['a time after the year 9999', `created_at = '20000-01-01'`],
  ['a content that is a text', `content = '"ides"'`],
  ['a content that is null', `content = 'null'`],
  ['a content that is a list', `content = '[1, 2]'`],
  ['metadata that are a number', `metadata = '7'`],
  ['tags with null', `tags = array['a', null]`],
  ['refs with null', `refs = array[null]::text[]`],
];

describeOnServer(WHY, () => {
  test.each(ways)('an event with %s is skipped and reported', async (_name, change) => {
    await record('the ides of march, first');
    const bad = await record('the ides of march, second');
    await damage(`update events set ${change} where tenant_id = $tenant and seq = ${bad.seq}`);
    await damage(`update chunks c set occurred_at = e.occurred_at from events e
    where e.tenant_id = $tenant and e.seq = ${bad.seq} and c.tenant_id = e.tenant_id and c.seq = e.seq`);
    const last = await record('the ides of march, third');

    const list = await ok('GET', '/v1/events');
    expect([list.data.map(({ seq }: any) => seq), list.unreadable, list.next_cursor]).toEqual([[1, last.seq], [bad.seq], null]);
    const filter = encodeURIComponent('{"session_id": "s1"}');
    expect((await ok('GET', `/v1/events?filter=${filter}&order=desc`)).unreadable).toEqual([bad.seq]);
    const first = await ok('GET', '/v1/events?limit=2');
    expect([first.data.length, first.unreadable]).toEqual([1, [bad.seq]]);
    expect((await ok('GET', `/v1/events?limit=2&cursor=${first.next_cursor}`)).data.map(({ seq }: any) => seq)).toEqual([
      last.seq,
    ]);
    const one = await alice.request('GET', `/v1/events/${bad.event_id}`);
    expect([one.status, one.body.type]).toEqual([410, '/docs/problems#unreadable']);
    await ok('GET', `/v1/events/${last.event_id}`);

    expect(await follow(last.seq)).toEqual([
      ['message', 1],
      ['unreadable', bad.seq],
      ['message', last.seq],
    ]);
    const found = await ok('POST', '/v1/search', { query: 'ides of march', channel: 'team', limit: 10 });
    expect(found.data.map(({ text }: any) => text)).toEqual(
      expect.arrayContaining(['the ides of march, first', 'the ides of march, third']),
    );
    const asked = { session_id: 's1', channel: 'team', query_text: 'ides of march' };
    const context = await ok('POST', '/v1/context?render=text', asked);
    expect(context.text).toContain('the ides of march, third');

    await ok('POST', '/v1/webhooks', { url: receiver.url, channels: ['team'], after: 0 });
    await receiver.until(2);
    expect(receiver.got.map(({ event }) => event.seq)).toEqual([1, last.seq]);
    const [webhook] = (await ok('GET', '/v1/webhooks')).data;
    const deaths = async () => (await ok('GET', `/v1/webhooks/${webhook.webhook_id}/deliveries?state=dead`)).data;
    await eventually(async () => (await deaths()).length > 0, 'a dead delivery');
    expect(await deaths()).toEqual([expect.objectContaining({ seq: bad.seq, error: expect.stringContaining('cannot be read') })]);

    expect(await findings()).toMatchObject({ ok: false, wrong: 1, sample: [{ seq: bad.seq, event_id: bad.event_id }] });
    const metrics = await (await fetch(`${daemon.url}/metrics`)).text();
    expect(metrics).toMatch(/^agent_memory_unreadable_rows_total [1-9]/m);
    expect(metrics).toMatch(/^agent_memory_followers_stuck 0/m);

    await isExported(bad.seq, last.seq);
    await jobsGoOn();
    expect((await findings()).ok).toBe(!change.includes('_at'));
  });
});

const memoryWays: [string, string][] = [
  [
    'an infinite time in its row',
    `update memories set created_at = 'infinity' where tenant_id = $tenant and memory_id = $memory`,
  ],
  ['an infinite validity', `update memories set valid_from = '-infinity' where tenant_id = $tenant and memory_id = $memory`],
  ['a content that is a text', `update events set content = '"x"' where tenant_id = $tenant and seq = $seq`],
  [
    'a time in its content that is none',
    `update events set content = content || '{"expires_at": "soon"}' where tenant_id = $tenant and seq = $seq`,
  ],
  [
    'a validity that ends before it begins',
    `update events set content = content || '{"valid_from": "2030-01-01T00:00:00Z", "valid_to": "2020-01-01T00:00:00Z"}' where tenant_id = $tenant and seq = $seq`,
  ],
  [
    'an importance that is a text',
    `update events set content = content || '{"importance": "high", "pinned": "yes"}' where tenant_id = $tenant and seq = $seq`,
  ],
  ['a body that is a list', `update events set content = content || '{"body": [1]}' where tenant_id = $tenant and seq = $seq`],
  ['a body that is null', `update events set content = content || '{"body": null}' where tenant_id = $tenant and seq = $seq`],
  [
    'an origin that is a text',
    `update events set content = content || '{"origin": "me", "trust": "some"}' where tenant_id = $tenant and seq = $seq`,
  ],
];

describeOnServer(WHY, () => {
  test.each(memoryWays)('a memory with %s does not block other memories', async (_name, change) => {
    const noted = (text: string) => ok('POST', '/v1/memories', { kind: 'rule', channel: 'team', user_id: 'zoe', text });
    await noted('the harbour rule, first');
    const bad = await noted('the harbour rule, second');
    await damage(change.replaceAll('$memory', `'${bad.memory_id}'`).replaceAll('$seq', String(bad.seq)));
    const last = await noted('the harbour rule, third');

    const list = await ok('GET', '/v1/memories?channel=team&order=asc');
    const told = [...list.data.map(({ memory_id }: any) => memory_id), ...(list.unreadable ?? [])];
    expect(told).toContain(bad.memory_id);
    expect(told).toContain(last.memory_id);
    const answer = await alice.request('GET', `/v1/memories/${bad.memory_id}`);
    expect([200, 410]).toContain(answer.status);
    for (const part of ['versions', 'history']) {
      const { status } = await alice.request('GET', `/v1/memories/${bad.memory_id}/${part}`);
      expect(status).toBe(answer.status);
    }
    const filter = encodeURIComponent('{"kind": "rule", "importance": {"gte": 0}}');
    await ok('GET', `/v1/memories?channel=team&filter=${filter}`);
    expect((await ok('POST', '/v1/search', { query: 'harbour rule', channel: 'team' })).data.length).toBeGreaterThan(0);
    const context = await ok('POST', '/v1/context?render=text', { session_id: 's1', channel: 'team', query_text: 'harbour' });
    expect(context.text).toContain('the harbour rule, third');
    const patch = await alice.request('PATCH', `/v1/memories/${bad.memory_id}`, { body: { tags: ['x'] } });
    expect([200, 410, 422]).toContain(patch.status);
    await ok('GET', '/v1/consistency');
    expect(linesOf(await exportTenant(alice)).at(-1)!.type).toBe('end');
    await follow(last.seq);
    const { job_id } = await ok('POST', '/v1/consistency/repair');
    expect((await jobDone(alice, job_id)).state).toBe('done');
    const job = await jobDone(alice, (await ok('POST', '/v1/erasures', { user_id: 'zoe' })).job_id);
    expect([job.state, job.problem]).toEqual(['done', undefined]);
  });
});

describeOnServer(WHY, () => {
  test.each([
    ['infinite', `occurred_at = 'infinity', created_at = '-infinity'`],
    ['BC', `occurred_at = '0044-03-15 12:00:00 BC', created_at = '0044-03-15 12:00:00 BC'`],
  ])('a claim that cites an event with times %s is found, and a preview counts the event', async (_, change) => {
    const bad = await record('the ides of march');
    const good = await record('the ides of april', { occurred_at: '2026-01-05T10:00:00Z' });
    const claim = { kind: 'fact', channel: 'team', text: 'The ides are old.', body: { subject: 'ides', value: 'old' } };
    const { memory_id } = await ok('POST', '/v1/memories', { ...claim, refs: [bad.event_id, good.event_id] });
    await damage(`update events set ${change} where tenant_id = $tenant and seq = ${bad.seq}`);
    await damage(`update memories set valid_from = '-infinity' where tenant_id = $tenant`);

    const found = await ok('POST', '/v1/search', { query: 'old ides', channel: 'team' });
    expect(found.data.map((hit: any) => hit.memory_id)).toContain(memory_id);
    const context = await ok('POST', '/v1/context', { query: 'old ides', channel: 'team' });
    const items = context.sections.flatMap((section: any) => section.items);
    expect(items.find((item: any) => item.memory_id === memory_id).text).toMatch(/^2026-01-05 /);

    const preview = await ok('POST', '/v1/retention/preview', { rules: [{ kind: 'message', older_than_days: 1 }] });
    const counted = preview.job_id ? (await jobDone(alice, preview.job_id)).result : preview;
    expect(counted).toMatchObject({ events: 1, by_kind: { message: 1 }, oldest: null, newest: null });
  });
});
