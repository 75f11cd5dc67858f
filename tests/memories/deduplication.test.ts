import { exportTenant, fileOf, importFile, linesOf } from '../export/file.ts';
import { type Client, message, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// Deduplication by content, supersession, and one task in progress per agent.

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

const fact = (text: string, more: Record<string, unknown> = {}) => ({ kind: 'fact', text, channel: 'team', ...more });
const request = (body: unknown, by = alice, headers?: Record<string, string>) =>
  by.request('POST', '/v1/memories', { body, ...(headers && { headers }) });
const make = async (body: unknown, by = alice) => {
  const answer = await request(body, by);
  expect([answer.status, answer.body.errors ?? answer.body.detail]).toEqual([201, undefined]);
  return answer.body;
};
const read = async (id: string, query = '') => (await alice.request('GET', `/v1/memories/${id}${query}`)).body;
const list = async (query = '') => (await alice.request('GET', `/v1/memories${query}`)).body.data;

test('a hundred concurrent equal writes create one memory with all their refs', async () => {
  const recorded = await alice.request('POST', '/v1/events', {
    body: { events: Array.from({ length: 100 }, (_, i) => message(`m${i}`)) },
  });
  const ids: string[] = recorded.body.data.map((e: any) => e.event_id);
  const answers = await Promise.all(ids.map((id) => request(fact('The limit is 65K', { refs: [id] }))));
  expect(new Set(answers.map(({ status, body }) => `${status} ${body.memory_id}`)).size).toBe(1);
  const [only, ...others] = await list();
  expect([others, only.version, only.ref_count, only.grounded]).toEqual([[], 100, 100, true]);
  expect(only.refs.toSorted()).toEqual(ids.toSorted());
  expect((await list('?as_of_seq=101'))[0].ref_count).toBe(1);
});

test('equal texts in one batch create one memory, which the response names for each', async () => {
  const { data } = await make({ memories: [fact('a'), fact('b'), fact('a', { tags: ['late'] })] });
  expect(data[0].memory_id).toBe(data[2].memory_id);
  expect([data[2].version, data[2].tags, (await list()).length]).toEqual([2, [], 2]);
});

test('If-None-Match: * returns 412 if the memory exists, also for concurrent writes', async () => {
  const onlyNew = (body: unknown, key?: string) =>
    request(body, alice, { 'if-none-match': '*', ...(key && { 'idempotency-key': key }) });
  const answers = await Promise.all(Array.from({ length: 20 }, () => onlyNew(fact('new'))));
  expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array.from({ length: 19 }, () => 412)]);
  const [only, ...others] = await list();
  expect([only.version, others]).toEqual([1, []]);
  expect((await onlyNew({ memories: [fact('other'), fact('new')] })).status).toBe(412);
  expect(await list()).toHaveLength(1);
  const [first, again] = [await onlyNew(fact('keyed'), 'n1'), await onlyNew(fact('keyed'), 'n1')];
  expect([first.status, again.status, again.body]).toEqual([201, 201, first.body]);
  expect(first.body).not.toHaveProperty('only_new');
});

test('memories that differ in kind, scope, subject, channel or sensitivity are not merged', async () => {
  const bob = await newColleague(alice);
  const made = [
    await make(fact('x', { channel: 'private' })),
    await make(fact('x', { channel: 'private' }), bob),
    await make(fact('x', { channel: 'public' })),
    await make(fact('x', { channel: 'team' })),
    await make(fact('x', { channel: 'team', sensitivity: 'high' })),
    await make(fact('x', { channel: 'team', project_id: 'p1' })),
    await make(fact('x', { channel: 'team', project_id: 'p2' })),
    await make(fact('x', { channel: 'team', scope: 'policy' })),
    await make({ ...fact('x'), kind: 'note' }),
    await make(fact('x', { channel: 'team', user_id: 'bob' }), bob),
  ];
  expect(new Set(made.map(({ memory_id }) => memory_id)).size).toBe(made.length);
  expect(made.map(({ version }) => version)).toEqual(made.map(() => 1));
});

test('a memory is not grounded by its own event and passages', async () => {
  const { memory_id, event_id } = await make(fact('floating'));
  const again = await make(fact('floating', { refs: [event_id, `chk_${event_id.slice(4)}_0`, memory_id] }));
  expect([again.memory_id, again.ref_count, again.grounded]).toEqual([memory_id, 0, false]);
  const changed = await alice.request('PATCH', `/v1/memories/${memory_id}`, { body: { refs: [event_id] } });
  expect([changed.body.ref_count, changed.body.grounded]).toEqual([0, false]);
  const other = await make(fact('rests', { refs: [memory_id] }));
  expect([other.grounded, other.refs]).toEqual([false, [memory_id]]);
  // a free name is not a source
  expect((await make({ ...fact('named'), refs: ['RFC 9110'] })).grounded).toBe(false);
});

test('a change keeps the sources of a memory unless it sets refs', async () => {
  const [a, b] = (await alice.request('POST', '/v1/events', { body: { events: [message('a'), message('b')] } })).body.data;
  const { memory_id } = await make(fact('x', { refs: [a.event_id] }));
  await make(fact('x', { refs: [b.event_id] }));
  const patch = async (body: unknown) => (await alice.request('PATCH', `/v1/memories/${memory_id}`, { body })).body.refs;
  expect(await patch({ text: 'y' })).toEqual([b.event_id, a.event_id]);
  expect(await patch({ refs: [a.event_id] })).toEqual([a.event_id]);
  expect((await read(memory_id, '?as_of_seq=4')).refs).toEqual([b.event_id, a.event_id]);
});

test('an Idempotency-Key replays a create, a batch, a change and a deletion', async () => {
  const keyed = (key: string) => ({ 'idempotency-key': key });
  const first = await request(fact('once'), alice, keyed('k1'));
  const again = await request(fact('once'), alice, keyed('k1'));
  expect([again.status, again.headers.get('idempotent-replay'), again.body]).toEqual([201, 'true', first.body]);
  expect((await request(fact('other'), alice, keyed('k1'))).status).toBe(409);
  const batch = { memories: [fact('b1'), fact('b2'), fact('b1')] };
  const [one, two] = [await request(batch, alice, keyed('k2')), await request(batch, alice, keyed('k2'))];
  expect(two.body.data.map((m: any) => m.memory_id)).toEqual(one.body.data.map((m: any) => m.memory_id));
  const at = `/v1/memories/${first.body.memory_id}`;
  for (const [method, key, body, version] of [
    ['PATCH', 'k3', { text: 'twice' }, 2],
    ['DELETE', 'k4', undefined, 3],
  ] as const) {
    const send = () => alice.request(method, at, { body, headers: { ...keyed(key), 'if-match': `"${version - 1}"` } });
    const [done, replay] = [await send(), await send()];
    expect([replay.status, replay.headers.get('idempotent-replay')]).toEqual([done.status, 'true']);
  }
  expect((await alice.request('GET', `${at}/versions`)).body.data).toHaveLength(3);
});

test('POST …/supersede is atomic; the second of two concurrent ones returns 409', async () => {
  const old = await make(fact('the limit is 32K'));
  const replace = (text: string) => alice.request('POST', `/v1/memories/${old.memory_id}/supersede`, { body: fact(text) });
  const answers = await Promise.all([replace('65K'), replace('64K')]);
  expect(answers.map(({ status }) => status).sort()).toEqual([201, 409]);
  const { body } = answers.find(({ status }) => status === 201)!;
  expect([body.supersedes, body.refs, body.status]).toEqual([old.memory_id, [old.memory_id], 'active']);
  expect(await read(body.memory_id)).toEqual(body);
  expect(await read(old.memory_id)).toMatchObject({ status: 'superseded', superseded_by: body.memory_id, version: 2 });
  expect((await list()).map((m: any) => m.memory_id)).toEqual([body.memory_id]);
  const found = await alice.request('POST', '/v1/search', { body: { query: '32K limit' } });
  expect(found.body.data.map((hit: any) => hit.event_id)).not.toContain(old.event_id);
});

test('superseded_by names the right successor in a batch and under concurrency', async () => {
  const olds = (await make({ memories: ['a', 'b', 'c'].map((text) => fact(text)) })).data;
  const [first, , third] = olds;
  const { data } = await make({
    memories: [
      fact('unrelated'),
      fact('c2', { supersedes: third.memory_id }),
      fact('other'),
      fact('a2', { supersedes: first.memory_id }),
    ],
  });
  expect([await read(first.memory_id), await read(third.memory_id)].map((m) => m.superseded_by)).toEqual([
    data[3].memory_id,
    data[1].memory_id,
  ]);
  expect([data[3].supersedes, (await read(data[0].memory_id)).supersedes]).toEqual([first.memory_id, undefined]);
  const many = (await make({ memories: Array.from({ length: 30 }, (_, i) => fact(`old ${i}`)) })).data;
  const made = await Promise.all(
    many.map(({ memory_id }: any, i: number) => request([fact(`new ${i}`, { supersedes: memory_id }), fact(`note ${i}`)][i % 2])),
  );
  const named = await Promise.all(many.map(({ memory_id }: any) => read(memory_id)));
  expect(named.map((m) => m.superseded_by)).toEqual(made.map(({ body }, i) => (i % 2 ? undefined : body.memory_id)));
});

test('an import with a cycle of supersessions is rejected, also if a memory of it is missing', async () => {
  const a = await make(fact('a'));
  const b = await make(fact('b', { supersedes: a.memory_id }));
  const c = await make(fact('c', { supersedes: b.memory_id }));
  const lines = linesOf(await exportTenant(alice));
  for (const line of lines) if (line.memory_id === b.memory_id && line.type === 'memory') line.superseded_by = a.memory_id;
  const other = await newTenant(daemon.url);
  const refused = await importFile(other, fileOf(lines));
  expect([refused.status, refused.body.detail]).toEqual([422, expect.stringContaining('superseded_by')]);
  const betrayed = await importFile(other, fileOf(lines.filter(({ memory_id }) => memory_id !== c.memory_id)));
  expect([betrayed.status, betrayed.body.detail]).toEqual([422, expect.stringContaining('superseded_by')]);
});

test('POST …/supersede with an If-Match of an old version returns 412', async () => {
  const old = await make(fact('v1'));
  const at = `/v1/memories/${old.memory_id}`;
  await alice.request('PATCH', at, { body: { tags: ['t'] } });
  const replace = (version: number) =>
    alice.request('POST', `${at}/supersede`, {
      body: fact('v2'),
      headers: { 'if-match': `"${version}"`, 'idempotency-key': `k${version}` },
    });
  expect([(await replace(1)).status, (await replace(2)).status, (await replace(2)).headers.get('idempotent-replay')]).toEqual([
    412,
    201,
    'true',
  ]);
});

test('a successor must not have a narrower audience; only a rule supersedes a rule', async () => {
  const old = await make(fact('open', { channel: 'public' }));
  const rule = await make({ kind: 'rule', text: 'Be kind', channel: 'team' });
  const replace = async (id: string, body: unknown) =>
    (await alice.request('POST', `/v1/memories/${id}/supersede`, { body })).status;
  expect(await replace(old.memory_id, fact('closed', { channel: 'team' }))).toBe(409);
  expect(await replace(old.memory_id, fact('closed', { channel: 'public', sensitivity: 'high' }))).toBe(409);
  expect(await replace(rule.memory_id, fact('no rule'))).toBe(409);
  const decision = {
    ...message(''),
    channel: 'team',
    kind: 'decision',
    content: { decision: 'No rule', supersedes: rule.memory_id },
  };
  expect((await alice.request('POST', '/v1/events', { body: decision })).status).toBe(409);
  expect([(await read(old.memory_id)).status, (await read(rule.memory_id)).status]).toEqual(['active', 'active']);
});

test('a recorded decision is a memory that can be read and superseded', async () => {
  const content = { decision: 'Use files', rationale: ['atomic'], scope: 'project', further: 1 };
  const event = (
    await alice.request('POST', '/v1/events', { body: { ...message(''), kind: 'decision', content, project_id: 'p1' } })
  ).body;
  const d1 = await read(event.memory_id);
  expect(d1).toMatchObject({
    kind: 'decision',
    text: 'Use files',
    body: { rationale: ['atomic'], further: 1 },
    scope: 'project',
    refs: [event.event_id],
    trust: 'stated',
    grounded: true,
  });
  const d2 = await make({
    kind: 'decision',
    text: 'Use PostgreSQL',
    channel: 'private',
    project_id: 'p1',
    supersedes: event.event_id,
  });
  expect([d2.supersedes, (await read(d1.memory_id)).superseded_by]).toEqual([d1.memory_id, d2.memory_id]);
  const d3 = { ...message(''), kind: 'decision', content: { decision: 'Use both', supersedes: d2.memory_id } };
  const third = await read((await alice.request('POST', '/v1/events', { body: d3 })).body.memory_id);
  expect([third.supersedes, third.refs.toSorted()]).toEqual([d2.memory_id, [third.event_id, d2.memory_id].toSorted()]);
  const history = (await alice.request('GET', `/v1/memories/${d2.memory_id}/history`)).body.data;
  expect(history.map((m: any) => [m.text, m.status])).toEqual([
    ['Use files', 'superseded'],
    ['Use PostgreSQL', 'superseded'],
    ['Use both', 'active'],
  ]);
});

test('a long chain is read in one request from any of its members', async () => {
  let last = await make(fact('v0'));
  for (let i = 1; i < 90; i += 1)
    last = (await alice.request('POST', `/v1/memories/${last.memory_id}/supersede`, { body: fact(`v${i}`) })).body;
  const whole = (await alice.request('GET', `/v1/memories/${last.supersedes}/history?limit=1000`)).body;
  expect(whole.data.map((m: any) => m.text)).toEqual(Array.from({ length: 90 }, (_, i) => `v${i}`));
  expect(whole.next_cursor).toBeNull();
  const page = (await alice.request('GET', `/v1/memories/${last.memory_id}/history?limit=40`)).body;
  const rest = (await alice.request('GET', `/v1/memories/${last.memory_id}/history?limit=50&cursor=${page.next_cursor}`)).body;
  expect([page.data.length, rest.data.length, rest.data.at(-1).text, rest.next_cursor]).toEqual([40, 50, 'v89', null]);
}, 120_000);

test('one_doing_per_agent rejects a second task in progress until the first one ends', async () => {
  const change = (settings: unknown) => alice.request('PATCH', '/v1/tenant', { body: { settings } });
  const task = (text: string, status: string) => ({ kind: 'task', text, body: { status }, channel: 'team', agent_id: 'planner' });
  const [a, b] = [await make(task('a', 'doing')), await make(task('b', 'doing'))];
  await Promise.all(
    [a, b].map((m) => alice.request('PATCH', `/v1/memories/${m.memory_id}`, { body: { body: { status: 'open' } } })),
  );
  expect((await change({ one_doing_per_agent: true })).body.settings).toEqual({ one_doing_per_agent: true });
  const move = (id: string, status: string) => alice.request('PATCH', `/v1/memories/${id}`, { body: { body: { status } } });
  expect((await move(a.memory_id, 'doing')).status).toBe(200);
  const refused = [
    await move(b.memory_id, 'doing'),
    await request(task('c', 'doing')),
    await alice.request('POST', '/v1/events', {
      body: {
        ...message(''),
        channel: 'team',
        kind: 'task_update',
        content: { title: 'd', status: 'doing' },
        agent_id: 'planner',
      },
    }),
  ];
  expect(refused.map(({ status, body }) => [status, body.detail])).toEqual(
    refused.map(() => [409, 'The agent already has a task in progress.']),
  );
  expect((await request({ ...task('c', 'doing'), agent_id: 'other' })).status).toBe(201);
  const swapped = await request({ memories: [task('b', 'doing'), task('a', 'done')] });
  expect([swapped.status, swapped.body.data?.map((m: any) => m.body.status)]).toEqual([201, ['doing', 'done']]);
  expect([(await read(a.memory_id)).body.status, (await read(b.memory_id)).body.status]).toEqual(['done', 'doing']);
  await alice.request('DELETE', `/v1/memories/${b.memory_id}`);
  expect((await request(task('d', 'doing'))).status).toBe(201);
});

test('a task is updated by its name, by an event or as a memory', async () => {
  const task = { kind: 'task', text: 'Write it', channel: 'private', body: { details: 'soon' }, pinned: true };
  const made = await make(task);
  const update = { ...message(''), kind: 'task_update', content: { title: 'Write it', status: 'doing' } };
  expect((await alice.request('POST', '/v1/events', { body: update })).body.memory_id).toBe(made.memory_id);
  expect(await read(made.memory_id)).toMatchObject({ version: 2, body: { status: 'doing' }, pinned: true });
  expect(await make({ ...task, body: { status: 'done' } })).toMatchObject({ memory_id: made.memory_id, version: 3 });
  const versions = (await alice.request('GET', `/v1/memories/${made.memory_id}/versions`)).body.data;
  expect(versions.map((v: any) => v.body.status)).toEqual(['open', 'doing', 'done']);
});
