import { type Client, message, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

const note = (text: string, more: Record<string, unknown> = {}) => ({ kind: 'note', text, channel: 'private', ...more });
const make = async (body: unknown, by = alice) => {
  const answer = await by.request('POST', '/v1/memories', { body });
  expect([answer.status, answer.body.errors ?? answer.body.detail]).toEqual([201, undefined]);
  return answer.body;
};
const read = async (id: string, query = '', by = alice) => (await by.request('GET', `/v1/memories/${id}${query}`)).body;
const list = async (query = '', by = alice) => (await by.request('GET', `/v1/memories${query}`)).body.data;

test('POST /v1/memories creates a memory of every kind, and GET returns the same', async () => {
  const event = (await alice.request('POST', '/v1/events', { body: message('we spoke') })).body;
  const bodies: Record<string, Record<string, unknown>> = {
    decision: { rationale: ['atomic rename'], constraints: ['no sqlite'], alternatives: ['a daemon'], consequences: ['slow'] },
    task: { task_id: 't1', status: 'doing', details: 'soon' },
    fact: { subject: 'limit', unit: 'tokens', value: 65_000, contradicts: [event.event_id] },
    preference: { subject: 'tea' },
    rule: { priority: 3 },
    note: {},
    summary: { subject: 'week' },
    handoff: {
      to_agent: 'b',
      problem: 'It leaks',
      constraints: ['no restart'],
      decisions: ['d'],
      open_questions: ['why'],
      refs: [event.event_id],
    },
  };
  for (const [kind, body] of Object.entries(bodies)) {
    const sent = {
      kind,
      text: `A ${kind}`,
      body,
      channel: 'team',
      project_id: 'p1',
      session_id: 's1',
      agent_id: 'planner',
      tags: ['a:b'],
      refs: [event.event_id],
      metadata: { deep: { x: 1 } },
      importance: 0.25,
      pinned: true,
      valid_from: '2026-01-01T00:00:00.000Z',
      valid_to: '2099-01-01T00:00:00.000Z',
      expires_at: '2098-01-01T00:00:00.000Z',
    };
    const { status, body: made, headers } = await alice.request('POST', '/v1/memories', { body: sent });
    expect([kind, status, headers.get('location'), headers.get('etag')]).toEqual([
      kind,
      201,
      `/v1/memories/${made.memory_id}`,
      '"1"',
    ]);
    expect(made).toMatchObject({
      ...sent,
      status: 'active',
      version: 1,
      scope: 'project',
      ...(kind === 'preference' && { user_id: 'alice' }),
      ref_count: 1,
      grounded: true,
      trust: 'approved',
      origin: { type: 'human', id: 'alice' },
    });
    expect(await read(made.memory_id)).toEqual(made);
  }
});

test('without refs, claims are ungrounded and acts are grounded; defaults depend on the kind', async () => {
  const made = [
    await make(note('n')),
    await make({ kind: 'preference', text: 'tea', channel: 'private' }),
    await make({ kind: 'handoff', channel: 'agent', body: { to_agent: 'b', problem: 'It leaks' } }),
    await make({ kind: 'task', text: 'do it', channel: 'team' }),
  ];
  expect(made.map(({ kind, scope, grounded, text, body }) => [kind, scope, grounded, text, body])).toEqual([
    ['note', 'global', false, 'n', {}],
    ['preference', 'user', true, 'tea', {}],
    ['handoff', 'global', true, 'It leaks', { to_agent: 'b', problem: 'It leaks' }],
    ['task', 'global', true, 'do it', { status: 'open' }],
  ]);
});

test('each change of a memory is an event in the log', async () => {
  const made = await make(note('in the log'));
  await alice.request('PATCH', `/v1/memories/${made.memory_id}`, { body: { text: 'in the log twice' } });
  await alice.request('DELETE', `/v1/memories/${made.memory_id}`);
  const { body } = await alice.request('GET', '/v1/events');
  expect(body.data.map((e: any) => [e.seq, e.kind, e.session_id, e.content.memory_id, e.content.text])).toEqual([
    [1, 'memory.created', made.memory_id, made.memory_id, 'in the log'],
    [2, 'memory.updated', made.memory_id, made.memory_id, 'in the log twice'],
    [3, 'memory.deleted', made.memory_id, made.memory_id, undefined],
  ]);
  expect((await alice.request('GET', '/v1/events?kind=memory.deleted')).body.data).toHaveLength(1);
});

test('PATCH creates a version, merges body and metadata and removes null fields', async () => {
  const made = await make({
    kind: 'decision',
    text: 'Use files',
    body: { rationale: ['atomic'], constraints: ['no sqlite'] },
    channel: 'team',
    metadata: { team: 'a', deep: { x: 1, y: 2 } },
    importance: 0.2,
    valid_to: '2099-01-01T00:00:00Z',
    tags: ['t'],
  });
  const patch = {
    text: 'Use plain files',
    body: { constraints: null, consequences: ['slow'] },
    metadata: { deep: { y: null } },
    importance: null,
    valid_to: null,
    pinned: true,
  };
  const { status, body, headers } = await alice.request('PATCH', `/v1/memories/${made.memory_id}`, { body: patch });
  expect([status, headers.get('etag')]).toEqual([200, '"2"']);
  expect(body).toMatchObject({
    text: 'Use plain files',
    body: { rationale: ['atomic'], consequences: ['slow'] },
    metadata: { team: 'a', deep: { x: 1 } },
    importance: 1,
    pinned: true,
    tags: ['t'],
    version: 2,
    created_at: made.created_at,
  });
  expect([body.body.constraints, body.valid_to]).toEqual([undefined, undefined]);
  const versions = (await alice.request('GET', `/v1/memories/${made.memory_id}/versions`)).body;
  expect(versions.data.map((v: any) => [v.version, v.text, v.seq])).toEqual([
    [1, 'Use files', 1],
    [2, 'Use plain files', 2],
  ]);
  expect(versions.data[1]).toEqual(body);
  const pages = await alice.request('GET', `/v1/memories/${made.memory_id}/versions?limit=1`);
  const second = await alice.request('GET', `/v1/memories/${made.memory_id}/versions?limit=1&cursor=${pages.body.next_cursor}`);
  expect([pages.body.data[0].version, second.body.data[0].version, second.body.next_cursor]).toEqual([1, 2, null]);
});

test('an empty patch or one that is invalid for the kind returns 422', async () => {
  const { memory_id } = await make({ kind: 'rule', text: 'Be kind', channel: 'team' });
  const patch = async (body: unknown) => {
    const answer = await alice.request('PATCH', `/v1/memories/${memory_id}`, { body });
    return [answer.status, answer.body.errors?.[0].pointer];
  };
  expect(await patch({ body: { priority: 'high' } })).toEqual([422, '#/body/priority']);
  expect(await patch({ body: { rationale: ['x'] } })).toEqual([422, '#/body']);
  expect(await patch({ channel: 'public' })).toEqual([422, '#/channel']);
  expect(await patch({ text: null })).toEqual([422, '#/text']);
  expect(await patch({ expires_at: '2020-01-01T00:00:00Z' })).toEqual([422, '#/expires_at']);
  expect(await patch({ refs: ['evt_none'] })).toEqual([404, '#/refs/0']);
  expect((await patch({}))[0]).toBe(422);
  expect((await read(memory_id)).version).toBe(1);
});

test('the second of two changes with the same If-Match returns 412; If-None-Match returns 304', async () => {
  const { memory_id } = await make(note('one'));
  const change = (text: string) =>
    alice.request('PATCH', `/v1/memories/${memory_id}`, { body: { text }, headers: { 'if-match': '"1"' } });
  const statuses = (await Promise.all([change('two'), change('three')])).map(({ status }) => status);
  expect(statuses.sort()).toEqual([200, 412]);
  const stale = await alice.request('DELETE', `/v1/memories/${memory_id}`, { headers: { 'if-match': '"1"' } });
  expect([stale.status, stale.body.detail]).toEqual([412, 'The memory has version 2, which does not match If-Match.']);
  for (const bare of ['2', 'garbage', '"2", x'])
    expect((await alice.request('DELETE', `/v1/memories/${memory_id}`, { headers: { 'if-match': bare } })).body).toMatchObject({
      status: 400,
      detail: expect.stringContaining('double quotes'),
    });
  const { status, body } = await alice.request('GET', `/v1/memories/${memory_id}`, { headers: { 'if-none-match': '"2"' } });
  expect([status, body]).toEqual([304, '']);
  expect((await alice.request('GET', `/v1/memories/${memory_id}`, { headers: { 'if-none-match': '"1"' } })).status).toBe(200);
});

test('four concurrent changes without If-Match create four versions', async () => {
  const { memory_id } = await make(note('one'));
  const tags = Array.from({ length: 4 }, (_, i) => `t${i}`);
  const answers = await Promise.all(
    tags.map((tag) => alice.request('PATCH', `/v1/memories/${memory_id}`, { body: { tags: [tag] } })),
  );
  expect(answers.map(({ status }) => status)).toEqual(tags.map(() => 200));
  expect((await read(memory_id)).version).toBe(5);
});

test('a deleted memory returns 410 and leaves lists and search; only admins read its versions', async () => {
  const bob = await newColleague(alice);
  const carol = await newColleague(alice, 'carol');
  const { memory_id } = await make(note('zebra crossing', { channel: 'team' }), carol);
  const found = async () => (await alice.request('POST', '/v1/search', { body: { query: 'zebra' } })).body.data.length;
  expect(await found()).toBe(1);
  expect((await bob.request('DELETE', `/v1/memories/${memory_id}`)).status).toBe(204);
  expect(await found()).toBe(0);
  const statuses = [
    alice.request('GET', `/v1/memories/${memory_id}`),
    alice.request('PATCH', `/v1/memories/${memory_id}`, { body: { tags: [] } }),
    alice.request('DELETE', `/v1/memories/${memory_id}`),
    bob.request('GET', `/v1/memories/${memory_id}/versions`),
  ];
  expect((await Promise.all(statuses)).map(({ status }) => status)).toEqual([410, 410, 410, 410]);
  const versions = (await alice.request('GET', `/v1/memories/${memory_id}/versions`)).body.data;
  expect(versions.map((v: any) => [v.status, v.text])).toEqual([
    ['active', 'zebra crossing'],
    ['deleted', ''],
  ]);
  expect([await list(), (await list('?status=deleted')).map((m: any) => m.text)]).toEqual([[], ['']]);
  expect((await make(note('zebra crossing', { channel: 'team' }))).memory_id).not.toBe(memory_id);
});

test('as_of and as_of_seq return the state at that time, by id and in lists', async () => {
  const first = await make(note('first', { tags: ['a'] }));
  await new Promise((resolve) => setTimeout(resolve, 20));
  const then = new Date().toISOString();
  await new Promise((resolve) => setTimeout(resolve, 20));
  await alice.request('PATCH', `/v1/memories/${first.memory_id}`, { body: { text: 'changed', tags: ['b'] } });
  const second = await make(note('second'));
  await alice.request('DELETE', `/v1/memories/${first.memory_id}`);
  const texts = async (query: string) => (await list(query)).map((m: any) => m.text);
  expect(await texts('?order=asc')).toEqual(['second']);
  expect([await texts('?as_of_seq=1'), await texts(`?as_of=${then}`)]).toEqual([['first'], ['first']]);
  expect(await texts('?as_of_seq=3&order=asc')).toEqual(['changed', 'second']);
  expect(await texts('?as_of_seq=3&tag=b')).toEqual(['changed']);
  expect(await texts('?as_of_seq=0')).toEqual([]);
  expect(await read(first.memory_id, '?as_of_seq=1')).toEqual(first);
  expect((await read(first.memory_id, `?as_of=${then}`)).text).toBe('first');
  expect((await alice.request('GET', `/v1/memories/${second.memory_id}?as_of_seq=2`)).status).toBe(404);
});

test('a list filters by every field and pages in creation order', async () => {
  const memories = Array.from({ length: 5 }, (_, i) =>
    note(`n${i}`, { session_id: `s${i % 2}`, tags: [`t${i}`], pinned: i === 4 }),
  );
  await make({ memories: [...memories, { kind: 'fact', text: 'f', channel: 'team', project_id: 'p1', agent_id: 'planner' }] });
  const texts = async (query: string) => (await list(query)).map((m: any) => m.text);
  expect(await texts('')).toEqual(['f', 'n4', 'n3', 'n2', 'n1', 'n0']);
  expect(await texts('?channel=team')).toEqual(['f']);
  expect(await texts('?kind=fact')).toEqual(['f']);
  expect(await texts('?scope=project')).toEqual(['f']);
  expect(await texts('?project_id=p1')).toEqual(['f']);
  expect(await texts('?agent_id=planner')).toEqual(['f']);
  expect(await texts('?session_id=s1')).toEqual(['n3', 'n1']);
  expect(await texts('?tag=t2')).toEqual(['n2']);
  expect(await texts('?pinned=true')).toEqual(['n4']);
  expect(await texts('?about_user_id=nobody')).toEqual([]);
  expect(await texts('?since=2099-01-01T00:00:00Z')).toEqual([]);
  expect(await texts('?until=2099-01-01T00:00:00Z&pinned=false')).toEqual(['f', 'n3', 'n2', 'n1', 'n0']);
  const filter = encodeURIComponent(JSON.stringify({ or: [{ kind: { eq: 'fact' } }, { tags: { contains: 't1' } }] }));
  expect(await texts(`?filter=${filter}`)).toEqual(['f', 'n1']);
  const seen: string[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page: any = (await alice.request('GET', `/v1/memories?limit=4&order=asc${cursor && `&cursor=${cursor}`}`)).body;
    seen.push(...page.data.map((m: any) => m.text));
    cursor = page.next_cursor;
  }
  expect(seen).toEqual(['n0', 'n1', 'n2', 'n3', 'n4', 'f']);
});

test('a memory past expires_at is expired before the sweep runs', async () => {
  const { memory_id } = await make(note('short', { expires_at: new Date(Date.now() + 3_600_000).toISOString() }));
  expect(await list()).toHaveLength(1);
  const soon = { expires_at: new Date(Date.now() + 2_000).toISOString() };
  expect((await alice.request('PATCH', `/v1/memories/${memory_id}`, { body: soon })).status).toBe(200);
  await eventually(async () => (await list()).length === 0, 'it expires');
  expect([await list(), (await list('?status=expired')).length, (await read(memory_id)).status]).toEqual([[], 1, 'expired']);
  const again = await make(note('short'));
  expect(again.memory_id).not.toBe(memory_id);
  const later = { expires_at: new Date(Date.now() + 60_000).toISOString() };
  expect((await alice.request('PATCH', `/v1/memories/${memory_id}`, { body: later })).status).toBe(409);
  await alice.request('DELETE', `/v1/memories/${again.memory_id}`);
  expect((await alice.request('PATCH', `/v1/memories/${memory_id}`, { body: later })).body.status).toBe('active');
});
