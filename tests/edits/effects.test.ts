import { type Client, message, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { chunk, decide, edit, listed, record, team } from './client.ts';

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

const long = (word: string) =>
  Array.from({ length: 60 }, (_, i) => `The ${word} sentence of number ${i} is plain and long enough.`).join(' ');

test('a retracted event is withheld from lists and by id, except for admins, until the edit is reverted', async () => {
  const event = await record(
    alice,
    team('the launch code is 1234', { tags: ['code'], metadata: { hint: 'launch' }, refs: ['launch'] }),
  );
  const before = await listed(bob, event.seq);
  const { edit_id } = await edit(alice, event.event_id, 'retract');
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
  expect((await bob.request('GET', `/v1/events/${event.event_id}`)).body).toMatchObject(gone);
  expect((await alice.request('GET', `/v1/events/${event.event_id}`)).body).toEqual({ ...before, edit_ids: [edit_id] });
  expect(await chunk(bob, event.chunk_ids[0]!)).toBe(404);
  expect(
    (await bob.request('POST', '/v1/edits', { body: { target: event.event_id, op: 'amend', patch: { text: 'x' }, reason: 'r' } }))
      .status,
  ).toBe(404);
  expect((await decide(alice, edit_id, 'revert')).status).toBe(200);
  expect(await listed(bob, event.seq)).toEqual(before);
  expect(await chunk(bob, event.chunk_ids[0]!)).toBe('the launch code is 1234');
});

test('quarantine hides an event from lists but not by id; block hides it in one channel', async () => {
  const event = await record(alice, message('the sky is green', { channel: 'public' }));
  const { edit_id } = await edit(alice, event.event_id, 'block', { channel: 'public' });
  const inChannel = async (channel: string) => (await listed(bob, event.seq, channel)).content;
  expect(await inChannel('public')).toEqual({ withheld: true, edit_ids: [edit_id] });
  expect(await inChannel('team')).toEqual({ text: 'the sky is green' });
  const { api_key } = (
    await bob.request('POST', '/auth/api-keys', { body: { name: 'k', role: 'member', scopes: ['read'], channels: ['public'] } })
  ).body;
  const asKey = async (path: string) => (await fetch(daemon.url + path, { headers: { 'x-api-key': api_key } })).status;
  expect([await chunk(bob, event.chunk_ids[0]!), await asKey(`/v1/chunks/${event.chunk_ids[0]}`)]).toEqual([
    'the sky is green',
    404,
  ]);
  await edit(alice, event.event_id, 'quarantine');
  for (const channel of ['private', 'public', 'team', 'agent']) expect((await inChannel(channel)).withheld).toBe(true);
  expect(await chunk(bob, event.chunk_ids[0]!)).toBe('the sky is green');
  expect((await bob.request('GET', `/v1/events/${event.event_id}`)).body.content).toEqual({ text: 'the sky is green' });
});

test('amending or retracting one passage keeps the others and updates the event', async () => {
  const event = await record(alice, team(long('green')));
  expect(event.chunk_ids.length).toBeGreaterThan(2);
  const [first, second, third] = event.chunk_ids as [string, string, string];
  const [a, c] = [await chunk(bob, first), await chunk(bob, third)];
  await edit(alice, second, 'amend', { text: 'Nothing to see here.' });
  expect([await chunk(bob, first), await chunk(bob, second), await chunk(bob, third)]).toEqual([a, 'Nothing to see here.', c]);
  expect((await listed(bob, event.seq)).content.text).toContain(`${a}Nothing to see here. ${c}`);
  const { edit_id } = await edit(alice, first, 'retract');
  expect((await listed(bob, event.seq)).content.text.startsWith(`Nothing to see here. ${c}`)).toBe(true);
  expect([await chunk(bob, first), await chunk(bob, second)]).toEqual([404, 'Nothing to see here.']);
  await decide(alice, edit_id, 'revert');
  expect(await chunk(bob, first)).toBe(a);
  const { status } = await alice.request('POST', '/v1/edits', {
    body: { target: third, op: 'amend', patch: { text: long('x') }, reason: 'r' },
  });
  expect(status).toBe(422);
});

test('an event can be amended to more or fewer passages and reverted', async () => {
  const event = await record(alice, team(long('green')));
  const original = await listed(bob, event.seq);
  const shorter = await edit(alice, event.event_id, 'amend', { text: 'short' });
  expect(await listed(bob, event.seq)).toMatchObject({ content: { text: 'short' } });
  expect([await chunk(bob, event.chunk_ids[0]!), await chunk(bob, event.chunk_ids[1]!)]).toEqual(['short', 404]);
  const longer = await edit(alice, event.event_id, 'amend', { text: `${long('blue')} ${long('red')}` });
  const now = await listed(bob, event.seq);
  expect(now.chunk_ids.length).toBeGreaterThan(event.chunk_ids.length);
  expect(await chunk(bob, now.chunk_ids.at(-1))).toContain('red');
  await decide(alice, longer.edit_id, 'revert');
  expect((await listed(bob, event.seq)).content).toEqual({ text: 'short' });
  await decide(alice, shorter.edit_id, 'revert');
  expect(await listed(bob, event.seq)).toEqual(original);
  expect(await chunk(bob, now.chunk_ids.at(-1))).toBe(404);
});

test('an amendment keeps the fields of a decision or output that are not prose', async () => {
  const decision = await record(alice, {
    ...team(''),
    kind: 'decision',
    content: { decision: 'use mongo', rationale: ['because of mongo'], scope: 'global' },
  });
  await edit(alice, decision.event_id, 'amend', { text: 'use postgres' });
  expect((await listed(bob, decision.seq)).content).toEqual({ decision: 'use postgres', scope: 'global' });
  const output = await record(alice, {
    ...team(''),
    kind: 'tool_result',
    content: { tool: 'read', path: 'a.txt', excerpt_text: 'mongo', exit_code: 0 },
  });
  await edit(alice, output.chunk_ids[0]!, 'amend', { text: 'postgres' });
  expect((await listed(bob, output.seq)).content).toEqual({ tool: 'read', path: 'a.txt', excerpt_text: 'postgres' });
});

test('only admins read the artifact of a hidden or amended event', async () => {
  const text = 'word '.repeat(20_000);
  const event = await record(alice, { ...team(''), kind: 'tool_result', content: { tool: 'read', excerpt_text: text } });
  const status = async (by: Client) => (await by.request('GET', `/v1/artifacts/${event.artifact_id}`)).status;
  const weak = await edit(alice, event.event_id, 'attenuate', { importance: 0.5 });
  expect(await status(bob)).toBe(200);
  const made = await edit(alice, event.event_id, 'amend', { text: 'short' });
  expect([await status(bob), await status(alice)]).toEqual([404, 200]);
  expect((await listed(bob, event.seq)).artifact_id).toBeUndefined();
  await decide(alice, made.edit_id, 'revert');
  expect(await status(bob)).toBe(200);
  expect((await listed(bob, event.seq)).edit_ids).toEqual([weak.edit_id]);
});

test('edits apply in the order of their approval', async () => {
  const event = await record(alice, team('first'));
  const [second, third] = [
    await edit(alice, event.event_id, 'amend', { text: 'second' }, {}),
    await edit(alice, event.event_id, 'amend', { text: 'third' }, {}),
  ];
  await decide(alice, third.edit_id, 'approve');
  await decide(alice, second.edit_id, 'approve');
  expect((await listed(bob, event.seq)).content).toEqual({ text: 'second' });
  await decide(alice, second.edit_id, 'revert');
  expect((await listed(bob, event.seq)).content).toEqual({ text: 'third' });
});

test('a quarantined passage is omitted from its event but can be read by id', async () => {
  const event = await record(alice, team(long('green')));
  const text = await chunk(bob, event.chunk_ids[1]!);
  await edit(alice, event.chunk_ids[1]!, 'quarantine');
  const { content } = await listed(bob, event.seq);
  expect([content.text.includes(text.trim()), content.text.length]).toEqual([false, long('green').length - text.length]);
  expect(await chunk(bob, event.chunk_ids[1]!)).toBe(text);
});
