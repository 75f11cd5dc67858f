import { randomBytes } from 'node:crypto';
import { edit } from '../edits/client.ts';
import { type Client, newColleague, newTenant, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// Hidden and deleted memories stay hidden when they are changed, replaced, repeated or read as of an earlier time.

let daemon: TestDaemon;
let alice: Client;
let bob: Client;
beforeAll(async () => {
  daemon = await startTestDaemon({ ENCRYPTION_KEY: randomBytes(32).toString('base64') });
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
  bob = await newColleague(alice);
});
afterAll(() => daemon.stop());

const TEXT = 'walruses deploy on Friday';
const say = (by: Client, more: Record<string, unknown> = {}, headers?: Record<string, string>) =>
  by.request('POST', '/v1/memories', {
    body: { kind: 'fact', text: TEXT, channel: 'team', ...more },
    ...(headers && { headers }),
  });
const make = async (by: Client, more: Record<string, unknown> = {}) => {
  const answer = await say(by, more);
  expect([answer.status, answer.body.detail]).toEqual([201, undefined]);
  return answer.body;
};
const at = (memory: Record<string, any>, what = '') => `/v1/memories/${memory.memory_id}${what}`;
const list = async (by: Client, query = '?channel=team') =>
  (await by.request('GET', `/v1/memories${query}`)).body.data.map(({ text }: { text: string }) => text);
const search = async (by: Client, more: Record<string, unknown> = {}) =>
  (await by.request('POST', '/v1/search', { body: { query: 'walruses', channel: 'team', ...more } })).body.data;
const revert = (edit_id: string) => alice.request('POST', `/v1/edits/${edit_id}/revert`);

test.each([
  ['quarantine', undefined, { tags: ['t'] }],
  ['quarantine', undefined, { text: 'walruses deploy on Mondays' }],
  ['block', { channel: 'team' }, { tags: ['t'] }],
  ['block', { channel: 'team' }, { text: 'walruses deploy on Mondays' }],
])(
  'a member’s PATCH keeps a %s (%j, %j) until the edit is reverted',
  async (op, patch, change: { text?: string; tags?: string[] }) => {
    const memory = await make(bob);
    const { edit_id } = await edit(alice, memory.memory_id, op, patch);
    const { status, body } = await bob.request('PATCH', at(memory), { body: change });
    expect([status, body.version, body.edit_ids]).toEqual([200, 2, [edit_id]]);
    expect([await list(bob), await search(bob)]).toEqual([[], []]);
    await revert(edit_id);
    expect([await list(bob), (await search(bob)).length]).toEqual([[change.text ?? TEXT], 1]);
  },
);

test('attenuations and retractions survive changes, except a new text by an admin', async () => {
  const memory = await make(bob);
  await edit(alice, memory.memory_id, 'attenuate', { importance: 0.5 });
  const [{ score }] = await search(bob);
  await bob.request('PATCH', at(memory), { body: { pinned: true } });
  expect((await search(bob))[0].score).toBeCloseTo(score, 5);
  await edit(alice, memory.memory_id, 'retract');
  await alice.request('PATCH', at(memory), { body: { tags: ['t'] } });
  expect([await list(bob), await search(bob), (await bob.request('GET', at(memory))).status]).toEqual([[], [], 404]);
  await alice.request('PATCH', at(memory), { body: { text: 'walruses rest' } });
  expect([await list(bob), (await search(bob))[0].text]).toEqual([['walruses rest'], 'walruses rest']);
});

test('a member cannot supersede a quarantined or blocked memory, by a memory or by a decision', async () => {
  const memory = await make(bob, { kind: 'decision' });
  const { edit_id } = await edit(alice, memory.memory_id, 'block', { channel: 'public' });
  expect((await bob.request('GET', at(memory))).body.marks).toEqual(['blocked']);
  const body = { kind: 'decision', text: TEXT, channel: 'team' };
  const event = {
    ...{ session_id: 's', channel: 'team', kind: 'decision', actor: { type: 'human', id: 'bob' } },
    content: { decision: TEXT, supersedes: memory.memory_id },
  };
  expect([
    (await bob.request('POST', at(memory, '/supersede'), { body })).status,
    (await bob.request('POST', '/v1/events', { body: event })).status,
  ]).toEqual([409, 409]);
  await revert(edit_id);
  expect((await bob.request('POST', at(memory, '/supersede'), { body })).status).toBe(201);
});

test('repeating a quarantined, blocked or amended memory or task does not reveal it', async () => {
  const memory = await make(bob);
  for (const [op, patch] of [['quarantine'], ['block', { channel: 'team' }], ['amend', { text: 'otters' }]] as const) {
    const { edit_id } = await edit(alice, memory.memory_id, op, patch);
    expect((await make(bob)).memory_id).toBe(memory.memory_id);
    expect(await search(bob)).toEqual([]);
    await revert(edit_id);
    expect(await search(bob)).toHaveLength(1);
  }
  const task = await make(bob, { kind: 'task', text: 'feed the walruses', body: { task_id: 't' } });
  await edit(alice, task.memory_id, 'quarantine');
  const event = { session_id: 's', channel: 'team', kind: 'task_update', actor: { type: 'human', id: 'bob' } };
  const moved = await bob.request('POST', '/v1/events', {
    body: { ...event, content: { task_id: 't', title: 'feed', status: 'doing' } },
  });
  expect([moved.body.memory_id, await list(bob, '?channel=team&kind=task')]).toEqual([task.memory_id, []]);
});

test('repeating a retracted memory creates a new statement with its own fields', async () => {
  const memory = await make(bob, { tags: ['old'], metadata: { a: 'private' }, importance: 0.9 });
  await edit(alice, memory.memory_id, 'retract');
  const again = await make(bob, { tags: ['new'], importance: 0.4 });
  expect(again).toMatchObject({
    memory_id: memory.memory_id,
    version: 2,
    tags: ['new'],
    metadata: {},
    importance: 0.4,
    marks: [],
  });
  expect((await bob.request('GET', at(memory))).body).toEqual(again);
  expect([await list(bob, '?channel=team&tag=new'), (await search(bob)).length]).toEqual([[TEXT], 1]);
  expect(
    (await bob.request('GET', at(memory, '/versions'))).body.data.map(({ version }: { version: number }) => version),
  ).toEqual([2]);
  const { checks } = (await alice.request('GET', '/v1/consistency')).body;
  expect(checks.filter(({ ok }: { ok: boolean }) => !ok)).toEqual([]);
});

test('a replay of a write does not return a memory that was retracted since', async () => {
  const key = { 'idempotency-key': 'once' };
  const first = await say(bob, {}, key);
  await edit(alice, first.body.memory_id, 'retract');
  expect((await say(bob, {}, key)).status).toBe(404);
});

test('a caller who repeats a hidden memory gets only the fields of its own request', async () => {
  const { api_key } = (
    await bob.request('POST', '/auth/api-keys', {
      body: { name: 'k', role: 'member', scopes: ['read', 'write'], channels: ['team'] },
    })
  ).body;
  const memory = await make(bob, { metadata: { a: 1 } });
  await edit(alice, memory.memory_id, 'block', { channel: 'team' });
  const { status, body } = await send<any>(daemon.url, 'POST', '/v1/memories', {
    body: { kind: 'fact', text: TEXT, channel: 'team', tags: ['own'] },
    headers: { 'x-api-key': api_key },
  });
  expect([status, body.memory_id, body.version, body.tags, body.metadata]).toEqual([201, memory.memory_id, 2, ['own'], {}]);
});

test('only admins read a deleted memory as of an earlier time', async () => {
  const memory = await make(bob, { kind: 'decision' });
  const then = new Date().toISOString();
  await bob.request('DELETE', at(memory));
  const context = async (by: Client) =>
    (
      await by.request('POST', '/v1/context?render=text', {
        body: { session_id: 'x', channel: 'team', query_text: 'walruses', as_of_seq: 1 },
      })
    ).body.text.includes(TEXT);
  for (const query of ['?as_of_seq=1', `?as_of=${then}`]) {
    expect((await bob.request('GET', at(memory, query))).status).toBe(410);
    expect((await alice.request('GET', at(memory, query))).body.text).toBe(TEXT);
    expect([await list(bob, `${query}&channel=team`), await list(alice, `${query}&channel=team`)]).toEqual([[], [TEXT]]);
  }
  for (const moment of [{ as_of_seq: 1 }, { as_of: then }]) {
    const found = [await search(bob, moment), await search(alice, moment)];
    expect(found.map((hits) => hits.length)).toEqual([0, 1]);
  }
  expect([await context(bob), await context(alice)]).toEqual([false, true]);
});

test('If-Match with several versions matches any of them', async () => {
  const memory = await make(bob);
  const change = async (match: string, tag: string) =>
    (await bob.request('PATCH', at(memory), { body: { tags: [tag] }, headers: { 'if-match': match } })).status;
  expect([await change('"1", "7"', 'a'), await change('"1", "7"', 'b'), await change('"9", "2"', 'c')]).toEqual([200, 412, 200]);
  const replace = async (match: string) =>
    (
      await bob.request('POST', at(memory, '/supersede'), {
        body: { kind: 'fact', text: 'x', channel: 'team' },
        headers: { 'if-match': match },
      })
    ).status;
  expect([await replace('"1", "2"'), await replace('"3", "7"')]).toEqual([412, 201]);
});

test('changing a memory with an encrypted secret also changes the encrypted copy', async () => {
  await alice.request('PATCH', '/v1/tenant', { body: { settings: { secrets: { mode: 'encrypt' } } } });
  const secret = `the token is ghp_${randomBytes(18).toString('hex')}`;
  const memory = await make(bob, { text: secret, channel: 'private' });
  const reveal = async (event_id: string) => (await bob.request('POST', `/v1/events/${event_id}/reveal`)).body;
  const tagged = (await bob.request('PATCH', at(memory), { body: { tags: ['t'] } })).body;
  expect([tagged.tags, tagged.redactions, tagged.text.includes('ghp_')]).toEqual([['t'], 1, false]);
  expect(await reveal(tagged.event_id)).toMatchObject({ content: { text: secret }, tags: ['t'] });
  const moved = (await bob.request('PATCH', at(memory), { body: { body: { subject: 'tokens' } } })).body;
  expect((await reveal(moved.event_id)).content).toMatchObject({ text: secret, body: { subject: 'tokens' } });
  await alice.request('PATCH', '/v1/tenant', { body: { settings: { secrets: { mode: 'redact' } } } });
  const pinned = (await bob.request('PATCH', at(memory), { body: { pinned: true } })).body;
  expect((await reveal(pinned.event_id)).content.text).toBe(secret);
});
