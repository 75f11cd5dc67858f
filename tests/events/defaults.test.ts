import { type Client, newTenant, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// Optional fields of requests and their defaults.

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

const post = (path: string, body: unknown) => alice.request('POST', path, { body });
const recorded = async (body: unknown, by = alice) => {
  const { status, body: made } = await by.request('POST', '/v1/events', { body });
  if (status !== 201) throw new Error(JSON.stringify(made));
  return (await by.request('GET', `/v1/events/${made.event_id}`)).body;
};

async function keyNamed(name: string, more: Record<string, unknown> = {}): Promise<Client> {
  const body = { name, role: 'member', scopes: ['read', 'write'], ...more };
  const { api_key } = (await post('/auth/api-keys', body)).body;
  const headers = { 'x-api-key': api_key };
  return { ...alice, request: (method, path, asked) => send(daemon.url, method, path, { ...asked, headers }) };
}

test('the smallest event has only a text, and the smallest search only a query', async () => {
  expect(await recorded({ text: 'the tide is high' })).toMatchObject({
    kind: 'message',
    channel: 'private',
    session_id: 'default',
    actor: { type: 'human', id: 'alice' },
    user_id: 'alice',
    content: { text: 'the tide is high' },
  });
  for (const field of ['query', 'query_text']) {
    expect((await post('/v1/search', { [field]: 'tide' })).body.data[0].text).toBe('the tide is high');
    const { sections } = (await post('/v1/context', { [field]: 'tide' })).body;
    expect(JSON.stringify(sections)).toContain('the tide is high');
  }
});

test('`text` sets content.text for every kind and in addition to other content', async () => {
  expect((await recorded({ text: 'x', content: { mood: 'calm' } })).content).toEqual({ text: 'x', mood: 'calm' });
  expect((await recorded({ kind: 'artifact', text: 'x', content: {} })).content).toEqual({ text: 'x' });
  expect((await recorded({ kind: 'decision', text: 'x', content: { decision: 'y' } })).content).toEqual({
    text: 'x',
    decision: 'y',
  });
});

test.each([
  [{}, ['#/text']],
  [{ content: {} }, ['#/content/text']],
  [{ text: 'a', content: { text: 'a' } }, ['#/text']],
  [{ kind: 'decision', text: 'a', content: { decision: 'b', text: 'c' } }, ['#/text']],
  [{ text: 5, channel: 'x' }, ['#/channel', '#/text']],
  [{ channel: 'x' }, ['#/channel', '#/text']],
  [{ kind: 'decision', text: 'a' }, ['#/content']],
  [{ kind: 'message', colour: 'red' }, ['#/colour', '#/text']],
  [{ events: [{ text: 'a' }, {}] }, ['#/events/1/text']],
  [{ content: [] }, ['#/content']],
  [{ content: 'a' }, ['#/content']],
])('POST /v1/events with %j returns 422 with all pointers', async (body, pointers) => {
  const answer = await post('/v1/events', body);
  expect([answer.status, answer.body.errors.map((fault: any) => fault.pointer).sort()]).toEqual([422, pointers]);
});

test.each([
  ['/v1/search', {}, '#/query'],
  ['/v1/search', { query: 'a', query_text: 'a' }, '#/query_text'],
  ['/v1/context', { query: 'a', query_text: 'b' }, '#/query_text'],
  ['/v1/search', [], '#'],
])('POST %s with %j returns 422', async (path, body, pointer) => {
  const answer = await post(path, body);
  expect([answer.status, answer.body.errors.map((fault: any) => fault.pointer)]).toEqual([422, [pointer]]);
});

test.each([
  [
    '/v1/events',
    { text: 'a', kind: 'x' },
    'must be one of "message", "tool_call", "tool_result", "decision", "task_update", "artifact"',
  ],
  ['/v1/memories', { text: 'a', kind: 'fact', body: { value: [] } }, 'must be a string or a number or a boolean'],
  ['/v1/events', { events: [] }, 'must have at least 1 item'],
])('POST %s with %j names the permitted values', async (path, body, detail) => {
  expect((await post(path, body)).body.errors.map((fault: any) => fault.detail)).toEqual([detail]);
});

test('outside the private channel an event has no subject by default; a decision of scope user is about the caller', async () => {
  for (const channel of ['team', 'public', 'agent']) expect(await recorded({ text: 'x', channel })).not.toHaveProperty('user_id');
  expect((await recorded({ text: 'x', channel: 'team', user_id: 'bob' })).user_id).toBe('bob');
  const decision = { kind: 'decision', channel: 'team', content: { decision: 'x', scope: 'user' } };
  expect((await recorded(decision)).user_id).toBe('alice');
});

test('the actor of a key is an agent with the agent_id of the event or key, or else the name of the key', async () => {
  const named = await keyNamed('night shift');
  expect((await recorded({ text: 'x' }, named)).actor).toEqual({ type: 'agent', id: 'night shift' });
  expect((await recorded({ text: 'x', agent_id: 'planner' }, named)).actor).toEqual({ type: 'agent', id: 'planner' });
  expect((await recorded({ text: 'x', actor: { type: 'tool', id: 'sh' } }, named)).actor).toEqual({ type: 'tool', id: 'sh' });
  const bound = await keyNamed('k', { agent_id: 'coder' });
  expect(await recorded({ text: 'x' }, bound)).toMatchObject({ agent_id: 'coder', actor: { type: 'agent', id: 'coder' } });
});

test('a key that is bound to an agent cannot record events as another', async () => {
  const bound = await keyNamed('k', { agent_id: 'coder' });
  const other = { text: 'x', actor: { type: 'agent', id: 'planner' } };
  for (const path of ['/v1/events', '/v1/memories']) {
    expect((await bound.request('POST', path, { body: other })).status).toBe(403);
    for (const actor of [
      { type: 'agent', id: 'coder' },
      { type: 'tool', id: 'sh' },
    ])
      expect((await bound.request('POST', path, { body: { text: 'x', actor } })).status).toBe(201);
  }
});

test('the smallest memory has only a text and is a private note of the caller', async () => {
  const made = await post('/v1/memories', { text: 'tides are regular' });
  expect(made.status).toBe(201);
  expect(made.body).toMatchObject({ kind: 'note', channel: 'private', user_id: 'alice', origin: { type: 'human', id: 'alice' } });
  const shared = await post('/v1/memories', { kind: 'fact', text: 'tides', channel: 'team' });
  expect(shared.body).not.toHaveProperty('user_id');
  for (const personal of [
    { kind: 'preference', text: 'tea', channel: 'team' },
    { kind: 'fact', text: 'tea', channel: 'team', scope: 'user' },
  ])
    expect((await post('/v1/memories', personal)).body.user_id).toBe('alice');
});
