import { type Client, message, newColleague, newName, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

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

const team = (text: string, more: Record<string, unknown> = {}) => message(text, { channel: 'team', ...more });
const record = async (event: unknown, by = alice) => {
  const { status, body } = await by.ask('POST', '/v1/events', { body: event });
  expect([status, body]).toEqual([201, expect.anything()]);
  return body as { event_id: string; seq: number; chunk_ids: string[]; memory_id: string; artifact_id: string };
};
const edit = async (target: string, op: string, patch?: object, by = alice, more: object = { auto_approve: true }) => {
  const { status, body } = await by.ask('POST', '/v1/edits', {
    body: { target, op, reason: 'it is wrong', ...(patch && { patch }), ...more },
  });
  expect([status, body]).toEqual([201, expect.anything()]);
  return body;
};
const decide = (id: string, verb: string, by = alice, headers: Record<string, string> = {}) =>
  by.ask('POST', `/v1/edits/${id}/${verb}`, { headers });
const listed = async (by: Client, seq: number, channel = 'team') =>
  (await by.ask('GET', `/v1/events?channel=${channel}&after=${seq - 1}&limit=1`)).body.data[0];
const chunk = async (id: string, by = bob) => {
  const { status, body } = await by.ask('GET', `/v1/chunks/${id}`);
  return status === 200 ? body.text : status;
};
const long = (word: string) =>
  Array.from({ length: 60 }, (_, i) => `The ${word} sentence of number ${i} is plain and long enough.`).join(' ');

test('a member proposes, an admin approves; each step is an event, as visible as the target', async () => {
  const event = await record(team('the sky is green', { agent_id: 'planner', project_id: 'p1' }));
  const made = await edit(event.chunk_ids[0]!, 'amend', { text: 'the sky is blue' }, bob, {});
  expect(made).toMatchObject({
    status: 'pending',
    version: 1,
    op: 'amend',
    target: event.chunk_ids[0],
    event_id: event.event_id,
    patch: { text: 'the sky is blue' },
    proposed_by: { type: 'human', id: 'bob' },
  });
  expect(await chunk(event.chunk_ids[0]!)).toBe('the sky is green');
  const approved = await decide(made.edit_id, 'approve');
  expect([approved.status, approved.body.status, approved.body.version, approved.headers.get('etag')]).toEqual([
    200,
    'approved',
    2,
    '"2"',
  ]);
  expect(approved.body.decided_by).toEqual({ type: 'human', id: 'alice' });
  expect(await chunk(event.chunk_ids[0]!)).toBe('the sky is blue');
  const { data } = (await bob.ask('GET', `/v1/events?channel=team&after=${event.seq}&project_id=p1`)).body;
  expect(
    data.map(({ kind, seq, content, refs, session_id, agent_id }: any) => [
      kind,
      seq,
      content.edit_id,
      refs,
      session_id,
      agent_id,
    ]),
  ).toEqual([
    ['edit.proposed', made.seq, made.edit_id, [event.event_id], 's1', 'planner'],
    ['edit.approved', made.seq + 1, made.edit_id, [event.event_id], 's1', 'planner'],
  ]);
  expect(JSON.stringify(data)).not.toContain('blue');
  expect((await alice.ask('GET', '/v1/events?channel=public')).body.data).toEqual([]);
});

test('a member may not approve, reject, revert or approve its own at once', async () => {
  const event = await record(team('x marks the spot'));
  const made = await edit(event.event_id, 'retract', undefined, bob, {});
  for (const verb of ['approve', 'reject', 'revert']) expect((await decide(made.edit_id, verb, bob)).status).toBe(403);
  const { status } = await bob.ask('POST', '/v1/edits', {
    body: { target: event.event_id, op: 'retract', reason: 'r', auto_approve: true },
  });
  expect(status).toBe(403);
  const reader = await newColleague(alice, 'rita', 'reader');
  expect((await reader.ask('POST', '/v1/edits', { body: { target: event.event_id, op: 'retract', reason: 'r' } })).status).toBe(
    403,
  );
  expect(await chunk(event.chunk_ids[0]!)).toBe('x marks the spot');
});

test('what a member cannot see it cannot edit, and edits of it it does not see', async () => {
  const secret = await record(message('alice likes marzipan'));
  for (const target of [
    secret.event_id,
    secret.chunk_ids[0],
    'evt_none',
    'chk_none_0',
    'mem_none',
    `${secret.event_id.replace('evt', 'chk')}_7`,
  ])
    expect((await bob.ask('POST', '/v1/edits', { body: { target, op: 'retract', reason: 'r' } })).status).toBe(404);
  const made = await edit(secret.event_id, 'amend', { text: 'alice likes nougat' }, alice, {});
  expect((await bob.ask('GET', `/v1/edits/${made.edit_id}`)).status).toBe(404);
  expect((await bob.ask('GET', '/v1/edits')).body.data).toEqual([]);
  expect((await alice.ask('GET', '/v1/edits')).body.data).toHaveLength(1);
  const mallory = await newTenant(daemon.url, newName('t'), 'mallory');
  expect((await mallory.ask('GET', `/v1/edits/${made.edit_id}`)).status).toBe(404);
  expect((await decide(made.edit_id, 'approve', mallory)).status).toBe(404);
  expect((await mallory.ask('POST', '/v1/edits', { body: { target: secret.event_id, op: 'retract', reason: 'r' } })).status).toBe(
    404,
  );
});

test('the text of a proposal is for admins and its author until it holds, and not after it is hidden', async () => {
  const event = await record(team('the sky is green'));
  const made = await edit(event.event_id, 'amend', { text: 'the sky is blue' }, bob, {});
  const carol = await newColleague(alice, 'carol');
  const patch = async (by: Client) => (await by.ask('GET', `/v1/edits/${made.edit_id}`)).body.patch;
  expect([await patch(carol), await patch(bob), await patch(alice)]).toEqual([
    {},
    { text: 'the sky is blue' },
    { text: 'the sky is blue' },
  ]);
  await decide(made.edit_id, 'approve');
  expect(await patch(carol)).toEqual({ text: 'the sky is blue' });
  await edit(event.event_id, 'retract');
  expect(await patch(carol)).toEqual({});
});

test('a state that is not the one needed is 409, another version 412; a retry is answered again', async () => {
  const event = await record(team('the sky is green'));
  const asked = {
    body: { target: event.event_id, op: 'retract', reason: 'r', auto_approve: true },
    headers: { 'idempotency-key': 'once' },
  };
  const [first, again] = [await alice.ask('POST', '/v1/edits', asked), await alice.ask('POST', '/v1/edits', asked)];
  expect([first.status, again.status, again.body]).toEqual([201, 201, first.body]);
  expect(again.headers.get('idempotent-replay')).toBe('true');
  const id = first.body.edit_id;
  expect((await decide(id, 'approve')).status).toBe(409);
  expect((await decide(id, 'reject')).status).toBe(409);
  expect((await decide(id, 'revert', alice, { 'if-match': '"7"' })).status).toBe(412);
  const key = { 'if-match': '"1"', 'idempotency-key': 'revert' };
  expect((await decide(id, 'revert', alice, key)).body).toMatchObject({ status: 'reverted', version: 2 });
  const replay = await decide(id, 'revert', alice, key);
  expect([replay.status, replay.headers.get('idempotent-replay'), replay.body.version]).toEqual([200, 'true', 2]);
  expect((await decide(id, 'revert')).status).toBe(409);
  expect((await alice.ask('GET', '/v1/events?channel=team')).body.data).toHaveLength(4);
});

test.each([
  ['amend', {}],
  ['amend', { text: ' ' }],
  ['amend', { text: 'x', importance: 1 }],
  ['attenuate', {}],
  ['attenuate', { importance: 2 }],
  ['attenuate', { importance: 1, importance_delta: -1 }],
  ['block', { channel: 'nowhere' }],
  ['retract', { text: 'x' }],
  ['shred', {}],
])('%s with %j is 422', async (op, patch) => {
  const event = await record(team('x'));
  expect((await alice.ask('POST', '/v1/edits', { body: { target: event.event_id, op, patch, reason: 'r' } })).status).toBe(422);
});

test('retract withholds the event from lists and by id; an admin reads the original; revert restores it', async () => {
  const event = await record(team('the launch code is 1234', { tags: ['code'], metadata: { hint: 'launch' }, refs: ['launch'] }));
  const before = await listed(bob, event.seq);
  const { edit_id } = await edit(event.event_id, 'retract');
  const gone = {
    content: { withheld: true, edit_ids: [edit_id] },
    edit_ids: [edit_id],
    tags: [],
    refs: [],
    metadata: {},
    chunk_ids: [],
    seq: event.seq,
  };
  expect(await listed(bob, event.seq)).toMatchObject(gone);
  expect(await listed(alice, event.seq)).toMatchObject(gone);
  expect((await bob.ask('GET', `/v1/events/${event.event_id}`)).body).toMatchObject(gone);
  expect((await alice.ask('GET', `/v1/events/${event.event_id}`)).body).toEqual({ ...before, edit_ids: [edit_id] });
  expect(await chunk(event.chunk_ids[0]!)).toBe(404);
  expect(
    (await bob.ask('POST', '/v1/edits', { body: { target: event.event_id, op: 'amend', patch: { text: 'x' }, reason: 'r' } }))
      .status,
  ).toBe(404);
  expect((await decide(edit_id, 'revert')).status).toBe(200);
  expect(await listed(bob, event.seq)).toEqual(before);
  expect(await chunk(event.chunk_ids[0]!)).toBe('the launch code is 1234');
});

test('quarantine hides it from every list and leaves it to be read by id; block hides it in one channel', async () => {
  const event = await record(message('the sky is green', { channel: 'public' }));
  const { edit_id } = await edit(event.event_id, 'block', { channel: 'public' });
  const inChannel = async (channel: string) => (await listed(bob, event.seq, channel)).content;
  expect(await inChannel('public')).toEqual({ withheld: true, edit_ids: [edit_id] });
  expect(await inChannel('team')).toEqual({ text: 'the sky is green' });
  const { api_key } = (
    await bob.ask('POST', '/auth/api-keys', { body: { name: 'k', role: 'member', scopes: ['read'], channels: ['public'] } })
  ).body;
  const asKey = async (path: string) => (await fetch(daemon.url + path, { headers: { 'x-api-key': api_key } })).status;
  expect([await chunk(event.chunk_ids[0]!), await asKey(`/v1/chunks/${event.chunk_ids[0]}`)]).toEqual(['the sky is green', 404]);
  await edit(event.event_id, 'quarantine');
  for (const channel of ['private', 'public', 'team', 'agent']) expect((await inChannel(channel)).withheld).toBe(true);
  expect(await chunk(event.chunk_ids[0]!)).toBe('the sky is green');
  expect((await bob.ask('GET', `/v1/events/${event.event_id}`)).body.content).toEqual({ text: 'the sky is green' });
});

test('one passage of several is amended or retracted; the others stay, and the event reads as they do', async () => {
  const event = await record(team(long('green')));
  expect(event.chunk_ids.length).toBeGreaterThan(2);
  const [first, second, third] = event.chunk_ids as [string, string, string];
  const [a, c] = [await chunk(first), await chunk(third)];
  await edit(second, 'amend', { text: 'Nothing to see here.' });
  expect([await chunk(first), await chunk(second), await chunk(third)]).toEqual([a, 'Nothing to see here.', c]);
  expect((await listed(bob, event.seq)).content.text).toContain(`${a}Nothing to see here. ${c}`);
  const { edit_id } = await edit(first, 'retract');
  expect((await listed(bob, event.seq)).content.text.startsWith(`Nothing to see here. ${c}`)).toBe(true);
  expect([await chunk(first), await chunk(second)]).toEqual([404, 'Nothing to see here.']);
  await decide(edit_id, 'revert');
  expect(await chunk(first)).toBe(a);
  const { status } = await alice.ask('POST', '/v1/edits', {
    body: { target: third, op: 'amend', patch: { text: long('x') }, reason: 'r' },
  });
  expect(status).toBe(422);
});

test('a whole event amended to more or fewer passages, and back', async () => {
  const event = await record(team(long('green')));
  const original = await listed(bob, event.seq);
  const shorter = await edit(event.event_id, 'amend', { text: 'short' });
  expect(await listed(bob, event.seq)).toMatchObject({ content: { text: 'short' } });
  expect([await chunk(event.chunk_ids[0]!), await chunk(event.chunk_ids[1]!)]).toEqual(['short', 404]);
  const longer = await edit(event.event_id, 'amend', { text: `${long('blue')} ${long('red')}` });
  const now = await listed(bob, event.seq);
  expect(now.chunk_ids.length).toBeGreaterThan(event.chunk_ids.length);
  expect(await chunk(now.chunk_ids.at(-1))).toContain('red');
  await decide(longer.edit_id, 'revert');
  expect((await listed(bob, event.seq)).content).toEqual({ text: 'short' });
  await decide(shorter.edit_id, 'revert');
  expect(await listed(bob, event.seq)).toEqual(original);
  expect(await chunk(now.chunk_ids.at(-1))).toBe(404);
});

test('an amended decision keeps what is no prose, and an output keeps where it is from', async () => {
  const decision = await record({
    ...team(''),
    kind: 'decision',
    content: { decision: 'use mongo', rationale: ['because of mongo'], scope: 'global' },
  });
  await edit(decision.event_id, 'amend', { text: 'use postgres' });
  expect((await listed(bob, decision.seq)).content).toEqual({ decision: 'use postgres', scope: 'global' });
  const output = await record({
    ...team(''),
    kind: 'tool_result',
    content: { tool: 'read', path: 'a.txt', excerpt_text: 'mongo', exit_code: 0 },
  });
  await edit(output.chunk_ids[0]!, 'amend', { text: 'postgres' });
  expect((await listed(bob, output.seq)).content).toEqual({ tool: 'read', path: 'a.txt', excerpt_text: 'postgres' });
});

test('the artifact of an event that is hidden or amended is for admins', async () => {
  const text = 'word '.repeat(20_000);
  const event = await record({ ...team(''), kind: 'tool_result', content: { tool: 'read', excerpt_text: text } });
  const status = async (by: Client) => (await by.ask('GET', `/v1/artifacts/${event.artifact_id}`)).status;
  const weak = await edit(event.event_id, 'attenuate', { importance: 0.5 });
  expect(await status(bob)).toBe(200);
  const made = await edit(event.event_id, 'amend', { text: 'short' });
  expect([await status(bob), await status(alice)]).toEqual([404, 200]);
  expect((await listed(bob, event.seq)).artifact_id).toBeUndefined();
  await decide(made.edit_id, 'revert');
  expect(await status(bob)).toBe(200);
  expect((await listed(bob, event.seq)).edit_ids).toEqual([weak.edit_id]);
});

test('lists of edits are filtered and paged, newest first', async () => {
  const event = await record(team('x'));
  for (let i = 0; i < 3; i += 1) await edit(event.event_id, 'attenuate', { importance: i / 4 }, bob, {});
  const last = await edit(event.event_id, 'retract', undefined, bob, {});
  await decide(last.edit_id, 'reject');
  const page = (await alice.ask('GET', '/v1/edits?limit=2')).body;
  const rest = (await alice.ask('GET', `/v1/edits?limit=2&cursor=${page.next_cursor}`)).body;
  expect([...page.data, ...rest.data].map(({ op, status }: any) => [op, status])).toEqual([
    ['retract', 'rejected'],
    ...Array.from({ length: 3 }, () => ['attenuate', 'pending']),
  ]);
  expect(rest.next_cursor).toBeNull();
  expect((await alice.ask('GET', '/v1/edits?status=pending&op=retract')).body.data).toEqual([]);
  expect((await alice.ask('GET', `/v1/edits?status=rejected&target=${event.event_id}`)).body.data).toHaveLength(1);
});

test('an event takes at most 100 edits that wait or hold, and none is made of what edits and the like say in the log', async () => {
  const event = await record(team('x'));
  const body = { target: event.event_id, op: 'attenuate', patch: { importance_delta: -0.01 }, reason: 'r' };
  for (let i = 0; i < 100; i += 10)
    await Promise.all(
      Array.from({ length: 10 }, async () => expect((await alice.ask('POST', '/v1/edits', { body })).status).toBe(201)),
    );
  const { last_seq } = (await alice.ask('GET', '/v1/usage')).body;
  expect((await alice.ask('POST', '/v1/edits', { body })).status).toBe(409);
  expect((await alice.ask('GET', '/v1/usage')).body.last_seq).toBe(last_seq);
  const said = (await alice.ask('GET', `/v1/events?channel=team&after=${event.seq}&limit=1`)).body.data[0];
  expect((await alice.ask('POST', '/v1/edits', { body: { ...body, target: said.event_id } })).status).toBe(404);
});
