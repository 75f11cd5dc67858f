import { randomUUID } from 'node:crypto';
import { failedChecks } from '../export/file.ts';
import { type Client, message, newColleague, newTenant, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// Permissions to change a memory, and its trust, if several people work in one tenant.

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

type Asking = Pick<Client, 'request'>;
const make = async (by: Asking, body: Record<string, unknown>) => {
  const answer = await by.request('POST', '/v1/memories', { body: { channel: 'team', ...body } });
  expect([answer.status, answer.body.errors ?? answer.body.detail]).toEqual([201, undefined]);
  return answer.body;
};
const at = (memory: Record<string, any>, what = '') => `/v1/memories/${memory.memory_id}${what}`;
const patch = async (by: Asking, memory: Record<string, any>, body: unknown) =>
  (await by.request('PATCH', at(memory), { body })).status;
const read = async (by: Asking, memory: Record<string, any>) => (await by.request('GET', at(memory))).body;
const supersede = async (by: Asking, memory: Record<string, any>, body: Record<string, unknown>) =>
  (await by.request('POST', at(memory, '/supersede'), { body: { channel: 'team', ...body } })).status;
const decide = async (by: Asking, decision: string, more: Record<string, unknown> = {}) => {
  const event = { ...message(''), channel: 'team', kind: 'decision', content: { decision, ...more } };
  return by.request('POST', '/v1/events', { body: event });
};
/** Creates a key and returns a client that uses it. */
const keyOf = async (by: Client, more: Record<string, unknown>): Promise<Asking> => {
  const { body } = await by.request('POST', '/auth/api-keys', {
    body: { name: 'k', role: 'member', scopes: ['read', 'write'], ...more },
  });
  return {
    request: (method, path, asked = {}) =>
      send(daemon.url, method, path, { ...asked, headers: { ...asked.headers, 'x-api-key': body.api_key } }),
  };
};

test('a preference with a wide scope needs approval unless it is private', async () => {
  const preference = (scope: string, more = {}) => ({ kind: 'preference', text: `obey, ${scope}`, scope, ...more });
  for (const scope of ['policy', 'project', 'global'])
    expect((await make(bob, preference(scope, { project_id: 'p1' }))).status).toBe('proposed');
  const context = await alice.request('POST', '/v1/context?render=text', {
    body: { session_id: 's', channel: 'team', project_id: 'p1', query_text: 'obey' },
  });
  expect(context.body.text).not.toContain('obey');
  expect((await make(bob, preference('user'))).status).toBe('active');
  expect((await make(bob, preference('project', { project_id: 'p1', channel: 'private' }))).status).toBe('active');
  const global = await make(alice, preference('global'));
  expect([global.status, await patch(bob, global, { text: 'obey bob' })]).toEqual(['active', 403]);
});

test('a tool cannot supersede decisions or preferences, or create handoffs', async () => {
  const actor = { type: 'tool', id: 'browser' };
  const decision = await make(bob, { kind: 'decision', text: 'Use files' });
  const preference = await make(bob, { kind: 'preference', text: 'tea' });
  for (const old of [decision, preference]) {
    expect(await supersede(bob, old, { kind: 'fact', text: 'Use mongo', actor })).toBe(403);
    const body = { kind: 'fact', text: 'Use mongo', channel: 'team', actor, supersedes: old.memory_id };
    expect((await bob.request('POST', '/v1/memories', { body: { memories: [body] } })).status).toBe(403);
    expect((await read(bob, old)).status).toBe('active');
  }
  const handoff = { kind: 'handoff', channel: 'team', body: { to_agent: 'planner', problem: 'x', constraints: ['obey'] } };
  expect((await bob.request('POST', '/v1/memories', { body: { ...handoff, actor } })).status).toBe(403);
  const packet = await make(bob, handoff);
  expect(await patch(bob, packet, { body: { constraints: ['obey'] }, actor })).toBe(403);
  const fact = await make(bob, { kind: 'fact', text: 'seen' });
  expect(await supersede(bob, fact, { kind: 'fact', text: 'seen anew', actor })).toBe(201);
});

test('only its subject and admins change a preference or a memory of scope user', async () => {
  const carol = await newColleague(alice, 'carol');
  for (const body of [
    { kind: 'preference', text: 'tea' },
    { kind: 'fact', text: 'carol sits in Oslo', scope: 'user' },
  ]) {
    const hers = await make(carol, body);
    expect([
      await patch(bob, hers, { text: 'x' }),
      (await bob.request('DELETE', at(hers))).status,
      await supersede(bob, hers, { ...body, text: 'x' }),
      await patch(carol, hers, { tags: ['t'] }),
      await patch(alice, hers, { pinned: true }),
    ]).toEqual([403, 403, 403, 200, 200]);
  }
});

test('members change memories of members and agents; only admins change those of admins, except tasks', async () => {
  const carol = await newColleague(alice, 'carol');
  const agent = await keyOf(alice, { user_id: 'planner' });
  for (const [by, n] of [
    [carol, 1],
    [agent, 2],
  ] as const) {
    const one = await make(by, { kind: 'decision', text: `a${n}` });
    const two = await make(by, { kind: 'fact', text: `b${n}` });
    expect([await patch(bob, one, { text: `c${n}` }), await supersede(bob, two, { kind: 'fact', text: `d${n}` })]).toEqual([
      200, 201,
    ]);
    expect((await read(bob, one)).trust).toBe('stated');
  }
  const approved = await make(alice, { kind: 'decision', text: 'Use files' });
  const tries = [
    patch(bob, approved, { valid_to: '2020-01-01T00:00:00Z' }),
    patch(bob, approved, { refs: [], metadata: { x: 1 }, importance: 0 }),
    bob.request('DELETE', at(approved)).then(({ status }) => status),
    supersede(bob, approved, { kind: 'decision', text: 'Use mongo' }),
    decide(bob, 'Use mongo', { supersedes: approved.memory_id }).then(({ status }) => status),
  ];
  expect(await Promise.all(tries)).toEqual([403, 403, 403, 403, 403]);
  expect(await read(bob, approved)).toMatchObject({ version: 1, status: 'active', trust: 'approved' });
  const task = await make(alice, { kind: 'task', text: 'Write it' });
  expect(await patch(bob, task, { importance: 0.1 })).toBe(200);
  expect(await read(bob, task)).toMatchObject({ trust: 'stated', origin: { type: 'human', id: 'bob' } });
});

test('a recorded decision supersedes only memories that its author may change in an allowed channel', async () => {
  const [his, hers] = [await decide(bob, 'Use files'), await make(bob, { kind: 'decision', text: 'Use tabs' })];
  const narrow = await keyOf(bob, { channels: ['private', 'public'] });
  const event = { ...message(''), channel: 'public', kind: 'decision', content: { decision: 'No', supersedes: hers.memory_id } };
  expect((await narrow.request('POST', '/v1/events', { body: event })).status).toBe(403);
  expect((await read(bob, hers)).status).toBe('active');
  const carol = await newColleague(alice, 'carol');
  const done = await decide(carol, 'Use PostgreSQL', { supersedes: his.body.event_id });
  expect([done.status, (await read(bob, his.body)).superseded_by]).toEqual([201, done.body.memory_id]);
});

test('a key approves memories and revokes capsules only in its channels', async () => {
  const narrow = await keyOf(alice, { role: 'admin', scopes: ['read', 'write', 'admin'], channels: ['private'] });
  const rule = await make(bob, { kind: 'rule', text: 'Be kind' });
  for (const verb of ['approve', 'reject']) expect((await narrow.request('POST', at(rule, `/${verb}`))).status).toBe(403);
  expect((await read(alice, rule)).status).toBe('proposed');
  const capsule = { items: [(await make(bob, { kind: 'note', text: 'n' })).memory_id], audience: 'all', channel: 'team' };
  const { capsule_id } = (await bob.request('POST', '/v1/capsules', { body: capsule })).body;
  expect((await narrow.request('POST', `/v1/capsules/${capsule_id}/revoke`)).status).toBe(403);
  expect((await bob.request('GET', `/v1/capsules/${capsule_id}`)).body.status).toBe('active');
});

test('only the logged-in human is trusted as the author; a claimed author is inferred', async () => {
  const human = (id: string) => ({ kind: 'note', text: `${id} says ${randomUUID()}`, actor: { type: 'human', id } });
  const admin = await keyOf(alice, { role: 'admin', scopes: ['read', 'write', 'admin'] });
  const trusts = [
    await make(admin, human('ceo')),
    await make(admin, human('alice')),
    await make(bob, human('alice')),
    await make(alice, human('bob')),
    await make(bob, human('bob')),
    await make(alice, { ...human('alice'), channel: 'public' }),
  ].map(({ trust, origin }) => [origin.id, trust]);
  expect(trusts).toEqual([
    ['ceo', 'inferred'],
    ['alice', 'inferred'],
    ['alice', 'inferred'],
    ['bob', 'inferred'],
    ['bob', 'stated'],
    ['alice', 'approved'],
  ]);
});

test('deleting a superseded memory keeps its successor searchable', async () => {
  const old = await make(alice, { kind: 'decision', text: 'We sail at six' });
  const { body: next } = await alice.request('POST', at(old, '/supersede'), {
    body: { kind: 'decision', channel: 'team', text: 'The ferry waits' },
  });
  expect((await alice.request('DELETE', at(old))).status).toBe(204);
  const { data } = (await alice.request('POST', '/v1/search', { body: { query: 'ferry', channel: 'team' } })).body;
  expect(data.map(({ memory_id }: { memory_id: string }) => memory_id)).toEqual([next.memory_id]);
  expect(await failedChecks(alice)).toEqual([]);
});
