import { type Client, message, newColleague, newTenant, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

const texts = async (client: Client, query: string) => {
  const { status, body } = await client.request('GET', `/v1/events?${query}`);
  expect([query, status]).toEqual([query, 200]);
  return body.data.map((event: { content: { text: string } }) => event.content.text);
};

test('GET /v1/events returns every event once over the pages, in both orders, and ends with a null cursor', async () => {
  await alice.request('POST', '/v1/events', { body: { events: Array.from({ length: 25 }, (_, i) => message(String(i))) } });
  for (const order of ['asc', 'desc']) {
    const seen: number[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const { body }: { body: any } = await alice.request(
        'GET',
        `/v1/events?order=${order}&limit=10${cursor && `&cursor=${cursor}`}`,
      );
      seen.push(...body.data.map((event: { seq: number }) => event.seq));
      cursor = body.next_cursor;
    }
    const all = Array.from({ length: 25 }, (_, i) => i + 1);
    expect(seen).toEqual(order === 'asc' ? all : all.reverse());
  }
});

test('GET /v1/events filters by session, kind, subject, agent, project, tag and time, alone and together', async () => {
  const events = [
    message('a', { session_id: 's2', tags: ['red'], occurred_at: '2026-01-01T00:00:00Z' }),
    message('b', { agent_id: 'planner', project_id: 'p1', occurred_at: '2026-01-02T00:00:00Z' }),
    message('c', { project_id: 'p1', tags: ['red', 'blue'], occurred_at: '2026-01-03T00:00:00Z' }),
    { ...message('d', { user_id: 'zoe', channel: 'team' }), kind: 'artifact' },
  ];
  expect((await alice.request('POST', '/v1/events', { body: { events } })).status).toBe(201);
  expect(await texts(alice, 'session_id=s2')).toEqual(['a']);
  expect(await texts(alice, 'kind=artifact')).toEqual(['d']);
  expect(await texts(alice, 'user_id=zoe')).toEqual(['d']);
  expect(await texts(alice, 'agent_id=planner')).toEqual(['b']);
  expect(await texts(alice, 'project_id=p1&tag=red')).toEqual(['c']);
  expect(await texts(alice, 'since=2026-01-02T00:00:00Z&until=2026-01-03T00:00:00Z')).toEqual(['b']);
  expect(await texts(alice, 'after=2')).toEqual(['c', 'd']);
  expect(await texts(alice, 'after=1&order=desc&limit=2')).toEqual(['d', 'c']);
  expect(await texts(alice, 'session_id=nowhere')).toEqual([]);
});

test.each([
  ['limit=0', 'limit'],
  ['limit=1001', 'limit'],
  ['limit=1&limit=2', 'limit'],
  ['order=up', 'order'],
  ['cursor=nonsense', 'cursor'],
  ['cursor=WyJhIl0', 'cursor'],
  ['since=yesterday', 'since'],
  ['colour=red', 'colour'],
  ['after=-1', 'after'],
])('GET /v1/events?%s returns 422 and names the parameter', async (query, parameter) => {
  const { status, body } = await alice.request('GET', `/v1/events?${query}`);
  expect([status, body.errors[0].parameter]).toEqual([422, parameter]);
});

test('a channel shows events by the visibility rule: by channel and sensitivity, and private events only to their subject', async () => {
  const bob = await newColleague(alice);
  const events = ['public', 'team', 'agent', 'private'].flatMap((channel) =>
    ['none', 'low', 'high'].map((sensitivity) => message(`${channel} ${sensitivity}`, { channel, sensitivity })),
  );
  await alice.request('POST', '/v1/events', { body: { events } });
  const of = (channels: string[], sensitivities: string[]) => channels.flatMap((c) => sensitivities.map((s) => `${c} ${s}`));
  const [open, trusted] = [
    ['none', 'low'],
    ['none', 'low', 'high'],
  ];
  expect(await texts(alice, 'channel=public')).toEqual(of(['public'], open!));
  expect(await texts(alice, 'channel=agent')).toEqual(of(['public', 'agent'], open!));
  expect(await texts(alice, 'channel=team')).toEqual(of(['public', 'team'], trusted!));
  expect(await texts(alice, 'channel=private')).toEqual(of(['public', 'team', 'agent', 'private'], trusted!));
  expect(await texts(bob, 'channel=private')).toEqual(of(['public', 'team', 'agent'], trusted!));
});

test('a member can neither write nor read by id private events of another; an admin can by naming the subject', async () => {
  const bob = await newColleague(alice);
  const mine = (await alice.request('POST', '/v1/events', { body: message('of alice') })).body;
  const his = (await bob.request('POST', '/v1/events', { body: message('of bob') })).body;
  expect((await bob.request('GET', `/v1/events/${mine.event_id}`)).status).toBe(404);
  expect((await bob.request('POST', '/v1/events', { body: message('x', { user_id: 'alice' }) })).status).toBe(403);
  expect((await bob.request('POST', '/v1/events', { body: message('x', { refs: [mine.event_id] }) })).status).toBe(404);
  expect(await texts(alice, '')).toEqual(['of alice']);
  expect(await texts(alice, 'user_id=bob')).toEqual(['of bob']);
  expect((await alice.request('GET', `/v1/events/${his.event_id}`)).status).toBe(200);
});

test('a request that names another tenant anywhere returns 403; naming its own tenant is allowed', async () => {
  const other = await newTenant(daemon.url);
  const body = message('x');
  const refused = [
    send(daemon.url, 'POST', '/v1/events', { body: { ...body, tenant_id: other.tenant_id } }, alice.token),
    send(daemon.url, 'POST', '/v1/events', { body: { events: [{ ...body, tenant_id: other.tenant_id }] } }, alice.token),
    send(daemon.url, 'GET', `/v1/events?tenant_id=${other.tenant_id}`, {}, alice.token),
    send(daemon.url, 'GET', '/v1/events', { headers: { 'x-tenant-id': other.tenant_id } }, alice.token),
    send(daemon.url, 'GET', `/v1/events?tenant_id=${alice.tenant_id}&tenant_id=${other.tenant_id}`, {}, alice.token),
  ];
  expect((await Promise.all(refused)).map(({ status }) => status)).toEqual([403, 403, 403, 403, 403]);
  expect((await alice.request('POST', '/v1/events', { body: { ...body, tenant_id: alice.tenant_id } })).status).toBe(201);
  expect(await texts(alice, `tenant_id=${alice.tenant_id}`)).toEqual(['x']);
});
