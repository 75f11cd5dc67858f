import { type Client, message, newColleague, newTenant, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// C1: a capsule can be read only by its audience and only until it ends; it contains nothing that its author may not see.

let daemon: TestDaemon;
let alice: Client;
let bob: Client;
let carol: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
  [bob, carol] = [await newColleague(alice, 'bob'), await newColleague(alice, 'carol')];
});
afterAll(() => daemon.stop());

const record = async (who: Client, text: string, more: Record<string, unknown> = {}) => {
  const { status, body } = await who.request('POST', '/v1/events', { body: message(text, more) });
  expect(status).toBe(201);
  return body;
};

async function share(who: Client, more: Record<string, unknown>, headers?: Record<string, string>) {
  const body = { channel: 'private', audience: { users: ['carol'] }, ...more };
  return who.request('POST', '/v1/capsules', { body, ...(headers && { headers }) });
}

/** A caller with an API key; `user_id` is the subject of the key. */
async function keyFor(maker: Client, body: Record<string, unknown>) {
  const made = await maker.request('POST', '/auth/api-keys', { body: { name: 'k', role: 'member', scopes: ['read'], ...body } });
  expect(made.status).toBe(201);
  const request = (path: string) => send<any>(daemon.url, 'GET', path, { headers: { 'x-api-key': made.body.api_key } });
  return { request, key_id: made.body.key_id as string, api_key: made.body.api_key as string };
}

const statusFor = async (who: Client, id: string) => (await who.request('GET', `/v1/capsules/${id}`)).status;
const idsIn = async (who: Client) => (await who.request('GET', '/v1/capsules')).body.data.map((one: any) => one.capsule_id);

test('C1 the audience reads items that only the author could see; others get 404 and do not find the capsule in lists', async () => {
  const event = await record(bob, 'the vault code is under the mat');
  const decision = await record(bob, '', { kind: 'decision', content: { decision: 'Use PostgreSQL' } });
  const items = [event.event_id, event.chunk_ids[0], decision.memory_id];
  const { status, body, headers } = await share(bob, { items, title: 'For Carol', risks: ['unverified'], tags: ['t'] });
  expect([status, headers.get('location')]).toEqual([201, `/v1/capsules/${body.capsule_id}`]);
  expect((await carol.request('GET', `/v1/events/${event.event_id}`)).status).toBe(404);

  const read = (await carol.request('GET', `/v1/capsules/${body.capsule_id}`)).body;
  expect(read).toMatchObject({
    title: 'For Carol',
    risks: ['unverified'],
    status: 'active',
    author: { user_id: 'bob' },
    item_count: 3,
  });
  expect(read.items.map(({ id, type, text }: any) => [id, type, text])).toEqual([
    [items[0], 'event', 'the vault code is under the mat'],
    [items[1], 'passage', 'the vault code is under the mat'],
    [items[2], 'memory', 'Use PostgreSQL'],
  ]);
  expect([read.audience, body.audience]).toEqual([undefined, { agents: [], users: ['carol'] }]);
  const dave = await newColleague(alice, 'dave');
  expect([await statusFor(dave, body.capsule_id), await statusFor(alice, body.capsule_id)]).toEqual([404, 200]);
  expect([await idsIn(dave), await idsIn(carol), await idsIn(bob)]).toEqual([[], [body.capsule_id], [body.capsule_id]]);
});

test('C1 a key that an admin bound to an agent reads what is addressed to the agent; a key that a member bound to it reads nothing', async () => {
  const { event_id } = await record(bob, 'x');
  const { body } = await share(bob, { items: [event_id], audience: { agents: ['scribe'] } });
  const path = `/v1/capsules/${body.capsule_id}`;
  const createWith = async (parent: { api_key: string }) => {
    const key = { name: 'k', role: 'member', scopes: ['read', 'write'], agent_id: 'scribe' };
    const created = await send<any>(daemon.url, 'POST', '/auth/api-keys', {
      body: key,
      headers: { 'x-api-key': parent.api_key },
    });
    return (await send(daemon.url, 'GET', path, { headers: { 'x-api-key': created.body.api_key } })).status;
  };
  const bound = { agent_id: 'scribe', scopes: ['read', 'write'] };
  const [attested, claimed] = [await keyFor(alice, bound), await keyFor(carol, bound)];
  expect([(await attested.request(path)).status, (await claimed.request(path)).status]).toEqual([200, 404]);
  const unbound = await keyFor(alice, { scopes: ['read', 'write'] });
  // a key inherits the agent of the key that creates it; a member's key cannot choose an agent, although an admin created it
  expect([await createWith(attested), await createWith(claimed), await createWith(unbound)]).toEqual([200, 404, 404]);
  expect((await attested.request('/v1/capsules')).body.data.map((one: any) => one.capsule_id)).toContain(body.capsule_id);
});

test('C1 an agent in the audience is the key with that subject; the name of a key or an agent_id in a request grants nothing', async () => {
  const { event_id } = await record(bob, 'x');
  const { body } = await share(bob, { items: [event_id], audience: { agents: ['planner'] } });
  const path = `/v1/capsules/${body.capsule_id}`;
  const [planner, pretender] = [await keyFor(alice, { user_id: 'planner' }), await keyFor(carol, { name: 'planner' })];
  expect([(await planner.request(path)).status, (await pretender.request(path)).status]).toEqual([200, 404]);
  expect([await statusFor(carol, body.capsule_id), (await pretender.request(`${path}?agent_id=planner`)).status]).toEqual([
    404, 422,
  ]);
  expect(
    (
      await send(
        daemon.url,
        'POST',
        '/auth/api-keys',
        { body: { name: 'k', role: 'member', scopes: ['read'], user_id: 'planner' } },
        carol.token,
      )
    ).status,
  ).toBe(403);

  const byId = await share(bob, { items: [event_id], audience: { agents: [pretender.key_id] } });
  expect((await pretender.request(`/v1/capsules/${byId.body.capsule_id}`)).status).toBe(200);
  expect((await planner.request(`/v1/capsules/${byId.body.capsule_id}`)).status).toBe(404);
});

test('C1 a capsule for all can be read by everyone who may use its channel', async () => {
  const { event_id } = await record(bob, 'x');
  const { body } = await share(bob, { items: [event_id], audience: 'all', channel: 'team' });
  const [team, open] = [await keyFor(carol, { channels: ['team'] }), await keyFor(carol, { channels: ['public'] })];
  expect((await team.request(`/v1/capsules/${body.capsule_id}`)).body.items[0].text).toBe('x');
  expect((await open.request(`/v1/capsules/${body.capsule_id}`)).status).toBe(404);
  const refused = await share(bob, { items: [event_id], audience: 'all', channel: 'private' });
  expect([refused.status, refused.body.errors[0].pointer]).toEqual([422, '#/channel']);
});

test('C1 a revocation takes effect immediately, and only the author or an admin can revoke', async () => {
  const { event_id } = await record(bob, 'x');
  const [one, two] = [await share(bob, { items: [event_id] }), await share(bob, { items: [event_id] })];
  const [first, second] = [one.body.capsule_id, two.body.capsule_id];
  expect((await carol.request('POST', `/v1/capsules/${first}/revoke`)).status).toBe(403);
  const revoked = await bob.request('POST', `/v1/capsules/${first}/revoke`, { headers: { 'idempotency-key': 'r' } });
  expect([revoked.status, revoked.body.status, revoked.body.items]).toEqual([
    200,
    'revoked',
    [{ id: event_id, unavailable: true }],
  ]);
  expect((await alice.request('DELETE', `/v1/capsules/${second}`)).status).toBe(204);
  expect([await statusFor(carol, first), await statusFor(carol, second), await idsIn(carol)]).toEqual([404, 404, []]);
  expect((await bob.request('POST', `/v1/capsules/${first}/revoke`)).status).toBe(409);
  const again = await bob.request('POST', `/v1/capsules/${first}/revoke`, { headers: { 'idempotency-key': 'r' } });
  expect([again.status, again.headers.get('idempotent-replay')]).toEqual([200, 'true']);
  expect((await bob.request('GET', '/v1/capsules?status=revoked')).body.data).toHaveLength(2);
});

test('C1 expiry takes effect immediately', async () => {
  const { event_id } = await record(bob, 'x');
  const { body: lasting } = await share(bob, { items: [event_id], ttl_s: 3_600 });
  const { body } = await share(bob, { items: [event_id], ttl_s: 1 });
  await new Promise((resolve) => setTimeout(resolve, Date.parse(body.expires_at) - Date.now() + 30));
  expect([await statusFor(carol, body.capsule_id), await statusFor(carol, lasting.capsule_id)]).toEqual([404, 200]);
  expect(await idsIn(carol)).toEqual([lasting.capsule_id]);
  expect((await bob.request('GET', `/v1/capsules/${body.capsule_id}`)).body.status).toBe('expired');
  expect((await bob.request('POST', `/v1/capsules/${body.capsule_id}/revoke`)).status).toBe(409);
});

test('C1 items that the author may not see or share return 422 with their pointers', async () => {
  const own = await record(bob, 'mine');
  const [private_, high, secret] = [
    await record(carol, 'of carol'),
    await record(bob, 'high', { sensitivity: 'high', channel: 'team' }),
    await record(bob, 'secret', { sensitivity: 'secret' }),
  ];
  const refusedAt = async (who: Client, items: string[], more = {}) => {
    const { status, body } = await share(who, { items, ...more });
    return [status, body.errors?.map((one: any) => one.pointer)];
  };
  expect(await refusedAt(bob, [own.event_id, private_.event_id, 'evt_none', secret.event_id])).toEqual([
    404,
    ['#/items/1', '#/items/2', '#/items/3'],
  ]);
  // an admin can read it by id, but may not share it
  expect(await refusedAt(alice, [private_.event_id])).toEqual([404, ['#/items/0']]);
  expect(await refusedAt(bob, [high.event_id], { channel: 'agent' })).toEqual([404, ['#/items/0']]);
  expect(await refusedAt(bob, [high.event_id], { channel: 'team' })).toEqual([201, undefined]);
  // items received through a capsule cannot be shared further
  await share(bob, { items: [own.event_id] });
  expect(await refusedAt(carol, [own.event_id], { audience: 'all', channel: 'team' })).toEqual([404, ['#/items/0']]);
});

test('C1 items that were amended, blocked, retracted or deleted since are shown amended or not at all', async () => {
  const [amended, blocked, retracted] = [
    await record(bob, 'said wrong'),
    await record(bob, 'blocked'),
    await record(bob, 'retracted'),
  ];
  const made = await bob.request('POST', '/v1/memories', {
    body: { kind: 'note', text: 'noted', scope: 'user', channel: 'private' },
  });
  const ids = [
    amended.event_id,
    amended.chunk_ids[0],
    blocked.event_id,
    retracted.event_id,
    retracted.chunk_ids[0],
    made.body.memory_id,
  ];
  const { body } = await share(bob, { items: ids });
  const edit = async (target: string, op: string, patch = {}) => {
    const { status } = await alice.request('POST', '/v1/edits', { body: { target, op, patch, reason: 'r', auto_approve: true } });
    expect(status).toBe(201);
  };
  await edit(amended.event_id, 'amend', { text: 'said right' });
  await edit(blocked.event_id, 'block', { channel: 'private' });
  await edit(retracted.event_id, 'retract');
  expect((await bob.request('DELETE', `/v1/memories/${made.body.memory_id}`)).status).toBeLessThan(300);
  const read = (await carol.request('GET', `/v1/capsules/${body.capsule_id}`)).body;
  expect(read.items.map(({ id, text, unavailable }: any) => [id, text ?? unavailable])).toEqual([
    [ids[0], 'said right'],
    [ids[1], 'said right'],
    ...ids.slice(2).map((id) => [id, true]),
  ]);
});

test('C1 only its author sees the events of a capsule, unless it is for all', async () => {
  const { event_id } = await record(bob, 'x');
  await share(bob, { items: [event_id], title: 'hidden title' });
  const open = await share(bob, { items: [event_id], audience: 'all', channel: 'team', title: 'open title' });
  await bob.request('DELETE', `/v1/capsules/${open.body.capsule_id}`);
  const logOf = async (who: Client) =>
    (await who.request('GET', '/v1/events')).body.data
      .filter((e: any) => e.kind.startsWith('capsule.'))
      .map((e: any) => [e.kind, e.content.title]);
  const all = [
    ['capsule.created', 'open title'],
    ['capsule.revoked', undefined],
  ];
  expect([await logOf(bob), await logOf(carol)]).toEqual([[['capsule.created', 'hidden title'], ...all], all]);
});

test('C1 a retry returns the same capsule even if its items are gone since; another body is a conflict', async () => {
  const { event_id } = await record(bob, 'x');
  const key = { 'idempotency-key': 'k1' };
  const first = await share(bob, { items: [event_id] }, key);
  const again = await share(bob, { items: [event_id] }, key);
  expect([again.status, again.body.capsule_id, again.headers.get('idempotent-replay')]).toEqual([
    201,
    first.body.capsule_id,
    'true',
  ]);
  expect((await share(bob, { items: [event_id], title: 'other' }, key)).status).toBe(409);
  expect(await idsIn(bob)).toEqual([first.body.capsule_id]);
});

test('C1 a context includes the items of the requested capsules that can be read in its channel', async () => {
  const { event_id } = await record(bob, 'the vault code is under the mat');
  const decision = await record(bob, '', { kind: 'decision', content: { decision: 'Use PostgreSQL' } });
  const claim = await bob.request('POST', '/v1/memories', {
    body: { kind: 'summary', text: 'the moon is cheese', scope: 'global', channel: 'private' },
  });
  const items = [event_id, decision.memory_id, claim.body.memory_id];
  const { body } = await share(bob, { items, title: 'For Carol', risks: ['unverified'] });
  const id: string = body.capsule_id;
  const contextOf = (who: Client, more = {}) =>
    who.request('POST', '/v1/context?render=text', { body: { session_id: 's9', channel: 'private', capsules: [id], ...more } });

  const bundle = (await contextOf(carol)).body;
  const [section] = bundle.sections.filter((one: any) => one.name === 'capsules');
  expect(section.items.map(({ type, text, refs }: any) => [type, text, refs.slice(0, 2)])).toEqual([
    ['text', 'from bob: For Carol; risk: unverified', [id]],
    ['text', 'alice: the vault code is under the mat', [event_id, id]],
    ['decision', 'alice: Use PostgreSQL', [decision.memory_id, id]],
  ]);
  expect(section.items[2]).toMatchObject({
    memory_id: decision.memory_id,
    trust: 'stated',
    origin: { type: 'human', id: 'alice' },
  });
  expect(bundle.omissions).toContainEqual({ reason: 'ungrounded', count: 1, candidates: [claim.body.memory_id] });
  expect(bundle.text).toContain('## Handed over in capsules\n- from bob: For Carol');
  expect((await contextOf(carol, { max_tokens: 256 })).body.token_used).toBeLessThanOrEqual(256);

  const refused = await contextOf(carol, { channel: 'team' });
  expect([refused.status, refused.body.errors[0].pointer]).toEqual([404, '#/capsules/0']);
  expect((await contextOf(await newColleague(alice, 'dave'))).status).toBe(404);
  await bob.request('DELETE', `/v1/capsules/${id}`);
  expect((await contextOf(carol)).status).toBe(404);
});
