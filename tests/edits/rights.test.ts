import { type Client, message, newColleague, newName, newTenant, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { chunk, decide, edit, record, team } from './client.ts';

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

test('a member proposes and an admin approves; each step is an event as visible as the target', async () => {
  const event = await record(alice, team('the sky is green', { agent_id: 'planner', project_id: 'p1' }));
  const made = await edit(bob, event.chunk_ids[0]!, 'amend', { text: 'the sky is blue' }, {});
  expect(made).toMatchObject({
    status: 'pending',
    version: 1,
    op: 'amend',
    target: event.chunk_ids[0],
    event_id: event.event_id,
    patch: { text: 'the sky is blue' },
    proposed_by: { type: 'human', id: 'bob' },
  });
  expect(await chunk(bob, event.chunk_ids[0]!)).toBe('the sky is green');
  const approved = await decide(alice, made.edit_id, 'approve');
  expect([approved.status, approved.body.status, approved.body.version, approved.headers.get('etag')]).toEqual([
    200,
    'approved',
    2,
    '"2"',
  ]);
  expect(approved.body.decided_by).toEqual({ type: 'human', id: 'alice' });
  expect(await chunk(bob, event.chunk_ids[0]!)).toBe('the sky is blue');
  const { data } = (await bob.request('GET', `/v1/events?channel=team&after=${event.seq}&project_id=p1`)).body;
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
  expect((await alice.request('GET', '/v1/events?channel=public')).body.data).toEqual([]);
});

test('a member cannot approve, reject or revert an edit', async () => {
  const event = await record(alice, team('x marks the spot'));
  const made = await edit(bob, event.event_id, 'retract', undefined, {});
  for (const verb of ['approve', 'reject', 'revert']) expect((await decide(bob, made.edit_id, verb)).status).toBe(403);
  const { status } = await bob.request('POST', '/v1/edits', {
    body: { target: event.event_id, op: 'retract', reason: 'r', auto_approve: true },
  });
  expect(status).toBe(403);
  const reader = await newColleague(alice, 'rita', 'reader');
  expect(
    (await reader.request('POST', '/v1/edits', { body: { target: event.event_id, op: 'retract', reason: 'r' } })).status,
  ).toBe(403);
  expect(await chunk(bob, event.chunk_ids[0]!)).toBe('x marks the spot');
});

test('a member cannot edit hidden items or see edits of them', async () => {
  const secret = await record(alice, message('alice likes marzipan'));
  for (const target of [
    secret.event_id,
    secret.chunk_ids[0],
    'evt_none',
    'chk_none_0',
    'mem_none',
    `${secret.event_id.replace('evt', 'chk')}_7`,
  ])
    expect((await bob.request('POST', '/v1/edits', { body: { target, op: 'retract', reason: 'r' } })).status).toBe(404);
  const made = await edit(alice, secret.event_id, 'amend', { text: 'alice likes nougat' }, {});
  expect((await bob.request('GET', `/v1/edits/${made.edit_id}`)).status).toBe(404);
  expect((await bob.request('GET', '/v1/edits')).body.data).toEqual([]);
  expect((await alice.request('GET', '/v1/edits')).body.data).toHaveLength(1);
  const mallory = await newTenant(daemon.url, newName('t'), 'mallory');
  expect((await mallory.request('GET', `/v1/edits/${made.edit_id}`)).status).toBe(404);
  expect((await decide(mallory, made.edit_id, 'approve')).status).toBe(404);
  expect(
    (await mallory.request('POST', '/v1/edits', { body: { target: secret.event_id, op: 'retract', reason: 'r' } })).status,
  ).toBe(404);
});

test('only admins and the author see the text of an edit that is pending or whose target is hidden', async () => {
  const event = await record(alice, team('the sky is green'));
  const made = await edit(bob, event.event_id, 'amend', { text: 'the sky is blue' }, {});
  const carol = await newColleague(alice, 'carol');
  const patch = async (by: Client) => (await by.request('GET', `/v1/edits/${made.edit_id}`)).body.patch;
  expect([await patch(carol), await patch(bob), await patch(alice)]).toEqual([
    {},
    { text: 'the sky is blue' },
    { text: 'the sky is blue' },
  ]);
  await decide(alice, made.edit_id, 'approve');
  expect(await patch(carol)).toEqual({ text: 'the sky is blue' });
  await edit(alice, event.event_id, 'retract');
  expect(await patch(carol)).toEqual({});
});

test('a wrong state returns 409, a wrong version 412, and a retry is replayed', async () => {
  const event = await record(alice, team('the sky is green'));
  const requests = {
    body: { target: event.event_id, op: 'retract', reason: 'r', auto_approve: true },
    headers: { 'idempotency-key': 'once' },
  };
  const [first, again] = [await alice.request('POST', '/v1/edits', requests), await alice.request('POST', '/v1/edits', requests)];
  expect([first.status, again.status, again.body]).toEqual([201, 201, first.body]);
  expect(again.headers.get('idempotent-replay')).toBe('true');
  const id = first.body.edit_id;
  expect((await decide(alice, id, 'approve')).status).toBe(409);
  expect((await decide(alice, id, 'reject')).status).toBe(409);
  const stale = await decide(alice, id, 'revert', { 'if-match': '"7"' });
  expect([stale.status, stale.body.detail]).toEqual([412, 'The edit has version 1, which does not match If-Match.']);
  const key = { 'if-match': '"1"', 'idempotency-key': 'revert' };
  expect((await decide(alice, id, 'revert', key)).body).toMatchObject({ status: 'reverted', version: 2 });
  const replay = await decide(alice, id, 'revert', key);
  expect([replay.status, replay.headers.get('idempotent-replay'), replay.body.version]).toEqual([200, 'true', 2]);
  expect((await decide(alice, id, 'revert')).status).toBe(409);
  expect((await alice.request('GET', '/v1/events?channel=team')).body.data).toHaveLength(4);
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
])('%s with %j returns 422', async (op, patch) => {
  const event = await record(alice, team('x'));
  expect((await alice.request('POST', '/v1/edits', { body: { target: event.event_id, op, patch, reason: 'r' } })).status).toBe(
    422,
  );
});

test('lists of edits are filtered and paged, newest first', async () => {
  const event = await record(alice, team('x'));
  for (let i = 0; i < 3; i += 1) await edit(bob, event.event_id, 'attenuate', { importance: i / 4 }, {});
  const last = await edit(bob, event.event_id, 'retract', undefined, {});
  await decide(alice, last.edit_id, 'reject');
  const page = (await alice.request('GET', '/v1/edits?limit=2')).body;
  const rest = (await alice.request('GET', `/v1/edits?limit=2&cursor=${page.next_cursor}`)).body;
  expect([...page.data, ...rest.data].map(({ op, status }: any) => [op, status])).toEqual([
    ['retract', 'rejected'],
    ...Array.from({ length: 3 }, () => ['attenuate', 'pending']),
  ]);
  expect(rest.next_cursor).toBeNull();
  expect((await alice.request('GET', '/v1/edits?status=pending&op=retract')).body.data).toEqual([]);
  expect((await alice.request('GET', '/v1/edits?target=zz')).body.errors).toMatchObject([{ parameter: 'target' }]);
  expect((await alice.request('GET', `/v1/edits?status=rejected&target=${event.event_id}`)).body.data).toHaveLength(1);
});

test('only admins and the author see a text that another edit replaced', async () => {
  const carol = await newColleague(alice, 'carol');
  const patches = async (by: Client, ...made: Record<string, any>[]) =>
    Promise.all(made.map(async ({ edit_id }) => (await by.request('GET', `/v1/edits/${edit_id}`)).body.patch.text));
  const event = await record(alice, team('bob earns 1'));
  const first = await edit(bob, event.event_id, 'amend', { text: 'bob earns 2' }, {});
  await decide(alice, first.edit_id, 'approve');
  expect(await patches(carol, first)).toEqual(['bob earns 2']);
  const second = await edit(alice, event.event_id, 'amend', { text: 'bob earns something' });
  expect(await patches(carol, first, second)).toEqual([undefined, 'bob earns something']);
  expect(await patches(bob, first, second)).toEqual(['bob earns 2', 'bob earns something']);
  const [listed] = (await carol.request('GET', `/v1/edits?target=${event.event_id}&status=approved`)).body.data.slice(-1);
  expect([listed.edit_id, listed.patch]).toEqual([first.edit_id, {}]);
  await decide(alice, second.edit_id, 'revert');
  expect(await patches(carol, first)).toEqual(['bob earns 2']);
  const words = Array.from({ length: 600 }, (_, i) => `word${i}`).join(' ');
  const long = await record(alice, team(words));
  const passage = await edit(alice, long.chunk_ids[1]!, 'amend', { text: 'bob earns 3' });
  const whole = await edit(alice, long.chunk_ids[0]!, 'amend', { text: 'it begins' });
  expect(await patches(carol, passage, whole)).toEqual(['bob earns 3', 'it begins']);
  await edit(alice, long.chunk_ids[1]!, 'retract');
  expect(await patches(carol, passage, whole)).toEqual([undefined, 'it begins']);
});

test('a user may have five pending proposals per event across keys, without affecting others', async () => {
  const event = await record(alice, team('x'));
  const carol = await newColleague(alice, 'carol');
  const body = { target: event.event_id, op: 'attenuate', patch: { importance_delta: -0.01 }, reason: 'r' };
  const propose = async (by: Client, more: object = {}) => by.request('POST', '/v1/edits', { body: { ...body, ...more } });
  const key = (await bob.request('POST', '/auth/api-keys', { body: { name: 'k', role: 'member', scopes: ['read', 'write'] } }))
    .body;
  const asKey = (more: object = {}) => send<any>(daemon.url, 'POST', '/v1/edits', { body: { ...body, ...more } }, key.api_key);
  for (let i = 0; i < 5; i += 1) expect((i % 2 === 0 ? await propose(bob) : await asKey()).status).toBe(201);
  const { last_seq } = (await alice.request('GET', '/v1/usage')).body;
  expect([(await propose(bob)).status, (await asKey()).status]).toEqual([409, 409]);
  expect((await alice.request('GET', '/v1/usage')).body.last_seq).toBe(last_seq);
  const other = await record(alice, team('y'));
  expect((await propose(bob, { target: other.event_id })).status).toBe(201);
  expect((await propose(carol)).status).toBe(201);
  expect((await propose(alice)).status).toBe(201);
  const waiting = (await alice.request('GET', `/v1/edits?target=${event.event_id}&status=pending`)).body.data;
  await decide(alice, waiting.at(-1).edit_id, 'reject');
  expect((await propose(bob)).status).toBe(201);
});

test('an event has at most 100 approved edits; events of edits cannot be edited', async () => {
  const event = await record(alice, team('x'));
  const body = { target: event.event_id, op: 'attenuate', patch: { importance_delta: -0.01 }, reason: 'r', auto_approve: true };
  for (let i = 0; i < 100; i += 10)
    await Promise.all(
      Array.from({ length: 10 }, async () => expect((await alice.request('POST', '/v1/edits', { body })).status).toBe(201)),
    );
  const { last_seq } = (await alice.request('GET', '/v1/usage')).body;
  expect((await alice.request('POST', '/v1/edits', { body })).status).toBe(409);
  expect((await alice.request('GET', '/v1/usage')).body.last_seq).toBe(last_seq);
  const waiting = await edit(bob, event.event_id, 'retract', undefined, {});
  expect((await decide(alice, waiting.edit_id, 'approve')).status).toBe(409);
  const active = (await alice.request('GET', `/v1/edits?target=${event.event_id}&status=approved&limit=1`)).body.data[0];
  await decide(alice, active.edit_id, 'revert');
  expect((await decide(alice, waiting.edit_id, 'approve')).status).toBe(200);
  const editEvent = (await alice.request('GET', `/v1/events?channel=team&after=${event.seq}&limit=1`)).body.data[0];
  expect((await alice.request('POST', '/v1/edits', { body: { ...body, target: editEvent.event_id } })).status).toBe(404);
});

test('the second of two concurrent decisions returns 409; the audit has each step', async () => {
  const event = await record(alice, team('x'));
  const made = await edit(bob, event.event_id, 'retract', undefined, {});
  const answers = await Promise.all([decide(alice, made.edit_id, 'approve'), decide(alice, made.edit_id, 'reject')]);
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
  const actions = (await alice.request('GET', '/v1/audit')).body.data.map(({ action }: { action: string }) => action);
  expect(actions.filter((action: string) => /^edit\./.test(action))).toHaveLength(2);
});
