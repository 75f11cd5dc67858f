import { type Client, message, newColleague, newTenant, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// Permissions and size limits of memories.

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

const make = async (by: Client, body: unknown) => {
  const answer = await by.request('POST', '/v1/memories', { body });
  expect([answer.status, answer.body.errors ?? answer.body.detail]).toEqual([201, undefined]);
  return answer.body;
};
const rule = (text: string, more: Record<string, unknown> = {}) => ({ kind: 'rule', text, channel: 'team', ...more });
const texts = async (by: Client, query = '') =>
  (await by.request('GET', `/v1/memories${query}`)).body.data.map((m: any) => m.text);
const act = (by: Client, id: string, what: string, body?: unknown) => by.request('POST', `/v1/memories/${id}/${what}`, { body });

test('a member’s rule for several subjects is proposed and hidden until an admin approves it', async () => {
  const proposed = await make(bob, rule('Deploy on zebra days only', { scope: 'policy', body: { priority: 5 } }));
  expect([proposed.status, proposed.trust, await texts(alice), await texts(alice, '?status=proposed')]).toEqual([
    'proposed',
    'stated',
    [],
    ['Deploy on zebra days only'],
  ]);
  const found = async () => (await bob.request('POST', '/v1/search', { body: { query: 'zebra' } })).body.data.length;
  expect(await found()).toBe(0);
  expect((await act(bob, proposed.memory_id, 'approve')).status).toBe(403);
  const { status, body } = await act(alice, proposed.memory_id, 'approve');
  expect([status, body.status, body.version, body.trust, body.origin, body.body]).toEqual([
    200,
    'active',
    2,
    'approved',
    { type: 'human', id: 'bob' },
    { priority: 5 },
  ]);
  expect([await found(), await texts(bob), (await act(alice, proposed.memory_id, 'approve')).status]).toEqual([
    1,
    [proposed.text],
    409,
  ]);
  const kinds = (await alice.request('GET', '/v1/events?channel=team')).body.data.map((e: any) => [e.kind, e.actor.id]);
  expect(kinds).toEqual([
    ['memory.created', 'bob'],
    ['memory.approved', 'alice'],
  ]);
});

test('a rejected proposal stays rejected; only one of two equal proposals can be approved', async () => {
  const [one, two, three] = [await make(bob, rule('x')), await make(bob, rule('x')), await make(bob, rule('y'))];
  expect(new Set([one.memory_id, two.memory_id]).size).toBe(2);
  expect((await act(alice, three.memory_id, 'reject')).body.status).toBe('rejected');
  expect((await act(alice, three.memory_id, 'approve')).status).toBe(409);
  expect((await act(alice, one.memory_id, 'approve')).status).toBe(200);
  const second = await act(alice, two.memory_id, 'approve');
  expect([second.status, second.body.detail]).toEqual([409, 'Another active memory has the same content.']);
  expect(await texts(bob)).toEqual(['x']);
});

test('rules of admins and personal rules are active at once; project rules of members need approval', async () => {
  expect((await make(alice, rule('all', { scope: 'global' }))).status).toBe('active');
  expect((await make(bob, rule('mine', { scope: 'user', channel: 'private' }))).status).toBe('active');
  expect((await make(bob, rule('here', { scope: 'session', session_id: 's1' }))).status).toBe('active');
  expect((await make(bob, rule('project', { project_id: 'p1' }))).status).toBe('proposed');
});

test('a member cannot change, delete or supersede a global rule', async () => {
  const { memory_id } = await make(alice, rule('Be kind'));
  const answers = [
    bob.request('PATCH', `/v1/memories/${memory_id}`, { body: { text: 'Be rude' } }),
    bob.request('DELETE', `/v1/memories/${memory_id}`),
    act(bob, memory_id, 'supersede', rule('Be rude', { scope: 'user' })),
    bob.request('POST', '/v1/memories', { body: rule('Be rude', { scope: 'user', supersedes: memory_id }) }),
    act(bob, memory_id, 'reject'),
  ];
  expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([403, 403, 403, 403, 403]);
  expect(await texts(bob)).toEqual(['Be kind']);
});

test('a tool cannot create or change rules, decisions or preferences, by memories or events', async () => {
  const actor = { type: 'tool', id: 'browser' };
  for (const kind of ['rule', 'decision', 'preference']) {
    const { status, body } = await alice.request('POST', '/v1/memories', {
      body: { kind, text: 'Obey', channel: 'team', actor },
    });
    expect([status, body.detail]).toEqual([403, `A tool cannot create a ${kind}: statements of tools are never binding.`]);
  }
  const { memory_id } = await make(alice, rule('Be kind'));
  expect((await alice.request('PATCH', `/v1/memories/${memory_id}`, { body: { text: 'Obey', actor } })).status).toBe(403);
  expect((await act(alice, memory_id, 'supersede', rule('Obey', { actor }))).status).toBe(403);
  const event = {
    ...message(''),
    channel: 'team',
    actor,
    kind: 'decision',
    content: { decision: 'Obey', supersedes: memory_id },
  };
  expect((await alice.request('POST', '/v1/events', { body: event })).body.memory_id).toBeUndefined();
  expect(await texts(alice)).toEqual(['Be kind']);
  expect(await make(alice, { kind: 'fact', text: 'seen', channel: 'team', actor })).toMatchObject({
    trust: 'observed',
    origin: actor,
  });
});

test('a change of the text changes trust and origin; a change of tags does not', async () => {
  const made = await make(bob, { kind: 'note', text: 'x', channel: 'team' });
  expect([made.trust, made.origin]).toEqual(['stated', { type: 'human', id: 'bob' }]);
  const tagged = (await alice.request('PATCH', `/v1/memories/${made.memory_id}`, { body: { tags: ['t'] } })).body;
  expect([tagged.trust, tagged.origin.id]).toEqual(['stated', 'bob']);
  const said = (await alice.request('PATCH', `/v1/memories/${made.memory_id}`, { body: { text: 'y' } })).body;
  expect([said.trust, said.origin.id]).toEqual(['approved', 'alice']);
  const key = (await bob.request('POST', '/auth/api-keys', { body: { name: 'k', role: 'member', scopes: ['read', 'write'] } }))
    .body;
  const agent = { kind: 'note', text: 'z', channel: 'team' };
  const byKey = await send<any>(daemon.url, 'POST', '/v1/memories', {
    body: agent,
    headers: { 'x-api-key': key.api_key },
  });
  expect([byKey.body.trust, byKey.body.origin]).toEqual(['inferred', { type: 'agent', id: key.name }]);
});

test('a private memory is visible only to its subject and to an admin who names it', async () => {
  const mine = await make(alice, { kind: 'preference', text: 'tea', channel: 'private' });
  const his = await make(bob, { kind: 'preference', text: 'coffee', channel: 'private' });
  await make(alice, { kind: 'fact', text: 'open', channel: 'public' });
  await make(alice, { kind: 'fact', text: 'team high', channel: 'team', sensitivity: 'high' });
  expect(await texts(bob, '?channel=public')).toEqual(['open']);
  expect(await texts(bob, '?channel=agent')).toEqual(['open']);
  expect(await texts(bob, '?channel=team')).toEqual(['team high', 'open']);
  expect(await texts(bob)).toEqual(['team high', 'open', 'coffee']);
  expect((await bob.request('GET', '/v1/memories?user_id=alice')).status).toBe(403);
  expect(await texts(alice, '?user_id=bob')).toEqual(['team high', 'open', 'coffee']);
  expect(await texts(alice, '?user_id=bob&about_user_id=bob')).toEqual(['coffee']);
  const tries = [
    bob.request('GET', `/v1/memories/${mine.memory_id}`),
    bob.request('GET', `/v1/memories/${mine.memory_id}/versions`),
    bob.request('GET', `/v1/memories/${mine.memory_id}/history`),
    bob.request('PATCH', `/v1/memories/${mine.memory_id}`, { body: { text: 'x' } }),
    bob.request('DELETE', `/v1/memories/${mine.memory_id}`),
    act(bob, mine.memory_id, 'supersede', { kind: 'preference', text: 'x', channel: 'private' }),
    bob.request('POST', '/v1/memories', { body: { kind: 'note', text: 'x', channel: 'private', refs: [mine.memory_id] } }),
    bob.request('POST', '/v1/events', { body: message('x', { refs: [mine.memory_id] }) }),
  ];
  expect((await Promise.all(tries)).map(({ status }) => status)).toEqual(tries.map(() => 404));
  expect(
    (await bob.request('POST', '/v1/memories', { body: { kind: 'note', text: 'x', channel: 'private', user_id: 'alice' } }))
      .status,
  ).toBe(403);
  expect((await alice.request('PATCH', `/v1/memories/${his.memory_id}`, { body: { text: 'decaf' } })).status).toBe(200);
});

test('a chain contains only memories that the caller may see', async () => {
  const old = await make(bob, { kind: 'fact', text: 'private', channel: 'private' });
  const next = (await act(bob, old.memory_id, 'supersede', { kind: 'fact', text: 'open', channel: 'team' })).body;
  const chain = async (by: Client) =>
    (await by.request('GET', `/v1/memories/${next.memory_id}/history`)).body.data.map((m: any) => m.text);
  expect([await chain(bob), await chain(await newColleague(alice, 'carol'))]).toEqual([['private', 'open'], ['open']]);
});

test('a batch of a thousand memories is atomic and keeps its order', async () => {
  const memories = Array.from({ length: 1000 }, (_, i) => ({ kind: 'note', text: `n${i}`, channel: 'team' }));
  const { data } = await make(alice, { memories });
  expect(data.map((m: any) => m.seq)).toEqual(memories.map((_, i) => i + 1));
  expect(await texts(alice, '?order=asc&limit=1000')).toEqual(memories.map(({ text }) => text));
  const wrong = await alice.request('POST', '/v1/memories', { body: { memories: [memories[0], { ...memories[1], text: ' ' }] } });
  expect([wrong.status, wrong.body.errors[0].pointer]).toEqual([422, '#/memories/1/text']);
  const dangling = {
    memories: [
      { ...memories[0], text: 'new' },
      { ...memories[1], refs: ['mem_none'] },
    ],
  };
  const refused = await alice.request('POST', '/v1/memories', { body: dangling });
  expect([refused.status, refused.body.errors[0].pointer]).toEqual([404, '#/memories/1/refs/0']);
  const many = await alice.request('POST', '/v1/memories', { body: { memories: [...memories, memories[0]] } });
  expect([many.status, (await texts(alice, '?limit=1'))[0]]).toEqual([422, 'n999']);
});

test.each([
  [{ kind: 'fact', text: 'x', channel: 'secret' }, 422, '#/channel'],
  [{ kind: 'dream', text: 'x', channel: 'team' }, 422, '#/kind'],
  [{ kind: 'fact', channel: 'team' }, 422, '#/text'],
  [{ kind: 'fact', text: 'x', channel: 'team', colour: 'red' }, 422, '#/colour'],
  [{ kind: 'fact', text: 'x', channel: 'team', body: { rationale: ['y'] } }, 422, '#/body/rationale'],
  [{ kind: 'handoff', text: 'x', channel: 'team' }, 422, '#/body'],
  [{ kind: 'fact', text: 'x', channel: 'team', importance: 1.5 }, 422, '#/importance'],
  [{ kind: 'fact', text: 'x', channel: 'team', scope: 'project' }, 422, '#/project_id'],
  [{ kind: 'fact', text: 'x', channel: 'team', scope: 'session' }, 422, '#/session_id'],
  [{ kind: 'fact', text: 'x', channel: 'team', sensitivity: 'secret' }, 422, '#/sensitivity'],
  [{ kind: 'fact', text: 'x', channel: 'team', expires_at: '2020-01-01T00:00:00Z' }, 422, '#/expires_at'],
  [
    { kind: 'fact', text: 'x', channel: 'team', valid_from: '2026-02-01T00:00:00Z', valid_to: '2026-01-01T00:00:00Z' },
    422,
    '#/valid_to',
  ],
  [{ kind: 'fact', text: 'x', channel: 'team', body: { contradicts: ['mem_none'] } }, 404, '#/body/contradicts/0'],
  [{ kind: 'fact', text: 'x', channel: 'team', supersedes: 'mem_none' }, 404, '#/supersedes'],
])('POST /v1/memories with %j returns an error with a pointer', async (given, status, pointer) => {
  const answer = await alice.request('POST', '/v1/memories', { body: given });
  expect([answer.status, answer.body.errors?.[0].pointer]).toEqual([status, pointer]);
  expect(await texts(alice, '?status=any')).toEqual([]);
});

test('a memory or batch above the size limit returns 413', async () => {
  const large = { kind: 'fact', text: 'x y '.repeat(250_000), channel: 'team', metadata: { more: 'z'.repeat(100_000) } };
  expect((await alice.request('POST', '/v1/memories', { body: large })).status).toBe(413);
  const memories = Array.from({ length: 30 }, (_, i) => ({
    kind: 'fact',
    text: `${i} ${'x y '.repeat(40_000)}`,
    channel: 'team',
  }));
  expect((await alice.request('POST', '/v1/memories', { body: { memories } })).status).toBe(413);
});

test.each(['cursor=WyJhIiwxXQ', 'limit=0', 'status=gone', 'as_of=yesterday', 'colour=red', 'pinned=maybe'])(
  'GET /v1/memories?%s returns 422',
  async (query) => {
    expect((await alice.request('GET', `/v1/memories?${query}`)).status).toBe(422);
  },
);

test('followers receive an event for each change of a memory', async () => {
  const { memory_id } = await make(await newColleague(alice, 'carol'), { kind: 'note', text: 'x', channel: 'team' });
  await act(bob, memory_id, 'supersede', { kind: 'note', text: 'y', channel: 'team' });
  const response = await fetch(`${daemon.url}/v1/events?channel=team&after=0`, {
    headers: { accept: 'text/event-stream', authorization: `Bearer ${bob.token}` },
  });
  const reader = response.body!.getReader();
  let text = '';
  while (!/id: 2\n[\s\S]*\n\n/.test(text)) text += new TextDecoder().decode((await reader.read()).value);
  await reader.cancel();
  expect([...text.matchAll(/event: (\S+)/g)].map(([, kind]) => kind)).toEqual(['memory.created', 'memory.created']);
});
