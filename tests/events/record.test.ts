import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { truncateBytes } from '../../src/events/prepare.ts';
import { type Client, message, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon({ MAX_ARTIFACT_BYTES: String(2 * 1024 * 1024) });
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

const record = (body: unknown, headers?: Record<string, string>) => alice.request('POST', '/v1/events', { body, headers });
const readBack = async (event_id: string) => (await alice.request('GET', `/v1/events/${event_id}`)).body;

test('POST /v1/events with one event of each kind returns 201 with Location, and the event reads back equal', async () => {
  const contents: Record<string, Record<string, unknown>> = {
    message: { text: 'Array<string> x < 5 javascript: DROP TABLE events; -- ', further: { kept: [1, null, 'é 漢 🎈'] } },
    tool_call: { tool: 'grep', pattern: 'foo(.*)', flags: ['-n'] },
    tool_result: { tool: 'grep', excerpt_text: 'a.ts:1: foo()', path: 'a.ts', line_range: [1, 1] },
    decision: { decision: 'Use files', rationale: ['atomic rename'], scope: 'project' },
    task_update: { title: 'Write it', status: 'open', details: 'soon' },
    artifact: { anything: true },
  };
  let seq = 0;
  for (const [kind, content] of Object.entries(contents)) {
    const sent = {
      ...message(''),
      kind,
      content,
      tags: ['a:b'],
      metadata: { n: 1.5 },
      occurred_at: '2026-01-05T11:00:00+01:00',
      agent_id: 'planner',
      project_id: 'p1',
    };
    const { status, body, headers } = await record(sent);
    seq += 1;
    expect([kind, status, body.seq, headers.get('location')]).toEqual([kind, 201, seq, `/v1/events/${body.event_id}`]);
    expect(await readBack(body.event_id)).toMatchObject({
      ...sent,
      seq,
      user_id: 'alice',
      occurred_at: '2026-01-05T10:00:00.000Z',
      chunk_ids: body.chunk_ids,
      sensitivity: 'none',
    });
  }
});

test('POST /v1/events stores fields with reserved names, and returns 422 if the service would overwrite them', async () => {
  const plain = { tool: 't', excerpt_text: 'short', truncated: false, artifact_id: 'of a tool' };
  const stored = await record({ ...message(''), kind: 'tool_result', content: plain });
  expect((await readBack(stored.body.event_id)).content).toEqual(plain);
  const long = await record({ ...message(''), kind: 'tool_result', content: { ...plain, excerpt_text: 'x'.repeat(70_000) } });
  expect([long.status, long.body.errors.map((e: { pointer: string }) => e.pointer)]).toEqual([
    422,
    ['#/content/truncated', '#/content/artifact_id'],
  ]);
  const sealed = await record({
    events: [message('a'), { ...message('b'), content: { text: 'b', sealed: { kid: '0123456789abcdef' } } }],
  });
  expect([sealed.status, sealed.body.errors]).toEqual([
    422,
    [{ pointer: '#/events/1/content/sealed', detail: 'must not be set: the service sets this field' }],
  ]);
});

test('POST /v1/events with one invalid event in a batch stores nothing and returns its pointer', async () => {
  const events = [message('one'), { ...message('two'), channel: 'nowhere' }, { ...message('three'), extra: 1 }];
  const { status, body } = await record({ events });
  expect(status).toBe(422);
  expect(body.errors.map((e: { pointer: string }) => e.pointer)).toEqual(
    expect.arrayContaining(['#/events/1/channel', '#/events/2/extra']),
  );
  expect((await alice.request('GET', '/v1/events')).body.data).toEqual([]);
});

test('POST /v1/events with 1000 events stores them in order with dense seqs; with 1001 events it stores none', async () => {
  const events = Array.from({ length: 1000 }, (_, i) => message(`event ${i}`));
  const { body } = await record({ events });
  expect(body.data.map((e: { seq: number }) => e.seq)).toEqual(events.map((_, i) => i + 1));
  expect((await record({ events: [...events, message('one more')] })).status).toBe(422);
  expect((await record(message('after'))).body.seq).toBe(1001);
});

test('POST /v1/events with a tool result of 240,000 characters stores an excerpt cut at a character boundary, and the whole in an artifact', async () => {
  // three bytes per character, and 65,536 is not a multiple of three
  const text = '漢'.repeat(240_000);
  const { body } = await record({
    ...message(''),
    kind: 'tool_result',
    actor: { type: 'tool', id: 'cat' },
    content: { tool: 'cat', excerpt_text: text },
  });
  const event = await readBack(body.event_id);
  expect(event.content).toMatchObject({ truncated: true, artifact_id: body.artifact_id });
  expect(event.artifact_id).toBe(body.artifact_id);
  expect(event.content.excerpt_text).toBe('漢'.repeat(Math.floor(65_536 / 3)));
  const artifact = await alice.request<string>('GET', `/v1/artifacts/${body.artifact_id}`);
  expect(artifact.body).toBe(text);
  expect(artifact.headers.get('etag')).toBe(`"${createHash('sha256').update(text).digest('hex')}"`);
});

test('POST /v1/events with a text over the limit of artifacts returns 413 and stores nothing', async () => {
  expect((await record(message('x'.repeat(2 * 1024 * 1024 + 1)))).status).toBe(413);
  expect((await alice.request('GET', '/v1/events')).body.data).toEqual([]);
});

test('POST /v1/events with an event over 1 MiB without its longest text returns 413 with its pointer', async () => {
  const many = Array(18).fill('x'.repeat(60_000));
  const large = { ...message('short'), content: { text: 'short', many } };
  const refused = await record({ events: [message('one'), large] });
  expect([refused.status, refused.body.errors[0].pointer]).toEqual([413, '#/events/1']);
  expect((await record(message('short', { metadata: { many } }))).status).toBe(413);
  const { body } = await record({
    ...message(''),
    content: { text: 'y'.repeat(1_000_000), many: many.slice(2) },
  });
  expect((await readBack(body.event_id)).content).toMatchObject({ truncated: true, artifact_id: body.artifact_id });
});

test('POST /v1/events with a batch of too much searchable text for one transaction returns 413 and stores nothing', async () => {
  const events = Array.from({ length: 17 }, () => message('a line of prose. '.repeat(16_000)));
  const { status, body } = await record({ events });
  expect([status, body.detail]).toEqual([413, expect.stringContaining('4194304')]);
  expect((await alice.request('GET', '/v1/events')).body.data).toEqual([]);
});

test('POST /v1/events with content declared secret stores a tombstone without text, metadata and passages', async () => {
  const { status, body } = await record(
    message('the vault opens with 4711', { sensitivity: 'secret', metadata: { pin: '4711' } }),
  );
  expect([status, body.sensitivity, body.chunk_ids]).toEqual([201, 'secret', []]);
  expect(JSON.stringify(await readBack(body.event_id))).not.toContain('4711');
  expect((await alice.request('GET', '/v1/events')).body.data).toEqual([]);
});

test('POST /v1/events accepts refs that exist and returns the pointer of one that does not', async () => {
  const first = (await record(message('first'))).body;
  const good = await record(message('second', { refs: [first.event_id, first.chunk_ids[0], 'README.md'] }));
  expect(good.status).toBe(201);
  const bad = await record(message('third', { refs: [first.event_id, 'evt_00000000000000000000000000'] }));
  expect([bad.status, bad.body.errors[0].pointer]).toEqual([404, '#/refs/1']);
  const supersedes = { ...message(''), kind: 'decision', content: { decision: 'x', supersedes: 'evt_nothing' } };
  expect((await record(supersedes)).body.errors[0].pointer).toBe('#/content/supersedes');
  expect((await record(message('fourth', { refs: [`${first.chunk_ids[0].slice(0, -1)}9`] }))).status).toBe(404);
});

test('POST /v1/events by a tenant that exceeds its storage quota returns 413 and leaves the log unchanged', async () => {
  const small = await startTestDaemon({ MAX_TENANT_BYTES: '3000' });
  const poor = await newTenant(small.url);
  const statuses: number[] = [];
  for (let i = 0; i < 12; i += 1)
    statuses.push((await poor.request('POST', '/v1/events', { body: message('x'.repeat(200)) })).status);
  const count = (await poor.request('GET', '/v1/events')).body.data.length;
  expect(new Set(statuses)).toEqual(new Set([201, 413]));
  expect(statuses.filter((s) => s === 201)).toHaveLength(count);
  await small.stop();
});

test('a unit that exceeds the remaining quota is rejected, and a smaller one in the same batch is stored', async () => {
  const small = await startTestDaemon({ MAX_TENANT_BYTES: '4000' });
  const poor = await newTenant(small.url);
  const write = (length: number) => poor.request('POST', '/v1/events', { body: message('x'.repeat(length)) });
  for (let i = 0; i < 8; i += 1) {
    const [large, little] = await Promise.all([write(6000), write(i)]);
    expect([large.status, little.status]).toEqual([413, i < 4 ? 201 : little.status]);
  }
  await small.stop();
});

test('GET /v1/events ends a page of large events by size and continues after it', async () => {
  const blob = (i: number) => message('x', { metadata: { i, blob: Array.from({ length: 14 }, () => 'y'.repeat(60_000)) } });
  for (let i = 0; i < 12; i += 1) expect((await alice.request('POST', '/v1/events', { body: blob(i) })).status).toBe(201);
  const seen: number[] = [];
  let pages = 0;
  for (let cursor: string | null = ''; cursor !== null; pages += 1) {
    const { body }: { body: any } = await alice.request('GET', `/v1/events?limit=100${cursor && `&cursor=${cursor}`}`);
    seen.push(...body.data.map((event: { seq: number }) => event.seq));
    cursor = body.next_cursor;
  }
  expect(seen).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
  expect(pages).toBeGreaterThan(1);
});

test('POST /v1/events with any JSON and text as content reads back equal', async () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 60 }).filter((s) => s.isWellFormed() && !s.includes('\0'));
  const json = fc
    .jsonValue({ stringUnit: 'grapheme', maxDepth: 4 })
    .filter((v) => !JSON.stringify(v).includes('\\u0000') && JSON.stringify(v).isWellFormed());
  const survives = (value: unknown) => JSON.stringify(value) === JSON.stringify(JSON.parse(JSON.stringify(value)));
  const contents = fc
    .sample(fc.record({ text, extra: json }), { numRuns: 120, seed: 7 })
    .filter((c) => survives(c) && !hasUnsafeInteger(c));
  const { status, body } = await record({ events: contents.map((content) => ({ ...message(''), content })) });
  expect(status).toBe(201);
  const { body: list } = await alice.request('GET', '/v1/events?limit=1000');
  // through JSON, in which -0 is 0
  expect(list.data.map((e: { content: unknown }) => e.content)).toEqual(JSON.parse(JSON.stringify(contents)));
  expect(body.data).toHaveLength(contents.length);
});

const hasUnsafeInteger = (value: unknown): boolean =>
  typeof value === 'number'
    ? Number.isInteger(value) && !Number.isSafeInteger(value)
    : typeof value === 'object' && value !== null && Object.values(value).some(hasUnsafeInteger);

test('truncateBytes returns the longest prefix of any text within any limit', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.nat(40), (text, max) => {
      const cut = truncateBytes(text, max);
      expect(text.startsWith(cut)).toBe(true);
      expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(max);
      const next = [...text.slice(cut.length)][0];
      if (next !== undefined) expect(Buffer.byteLength(cut + next)).toBeGreaterThan(max);
    }),
  );
});
