import { type Client, message, newColleague, newTenant, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
let alice: Client;
let bob: Client;
let carol: Client;
let back: Ask;
type Ask = (method: string, path: string, body?: unknown) => Promise<{ status: number; body: any }>;

beforeAll(async () => {
  daemon = await startTestDaemon();
  alice = await newTenant(daemon.url);
  [bob, carol] = [await newColleague(alice, 'bob'), await newColleague(alice, 'carol')];
  back = await keyOf({ user_id: '*' });
});
afterAll(() => daemon.stop());

async function keyOf(more: Record<string, unknown>): Promise<Ask> {
  const { status, body } = await alice.request('POST', '/auth/api-keys', {
    body: { name: 'back end', role: 'member', scopes: ['read', 'write'], ...more },
  });
  if (status !== 201) throw new Error(JSON.stringify(body));
  return (method, path, asked) => send(daemon.url, method, path, { body: asked, headers: { 'x-api-key': body.api_key } });
}

const places = ({ status, body }: { status: number; body: any }) => [
  status,
  ...(body.errors ?? []).map((fault: any) => fault.pointer ?? fault.parameter),
];

test('B4 a private write or read with a key for all subjects returns 422 with the pointer unless it names a user', async () => {
  const own = (await back('POST', '/v1/events', { text: 'a private word', user_id: 'bob' })).body;
  const memory = (await back('POST', '/v1/memories', { text: 'a private note', user_id: 'bob' })).body;
  const refused: [string, string, unknown, string][] = [
    ['POST', '/v1/events', { text: 'x' }, '#/user_id'],
    ['POST', '/v1/events', { text: 'x', user_id: '*' }, '#/user_id'],
    ['POST', '/v1/events', { events: [{ text: 'x', user_id: 'bob' }, { text: 'y' }] }, '#/events/1/user_id'],
    ['POST', '/v1/memories', { text: 'x' }, '#/user_id'],
    ['POST', '/v1/memories', { memories: [{ text: 'x', user_id: 'bob' }, { text: 'y' }] }, '#/memories/1/user_id'],
    ['POST', '/v1/memories', { text: 'x', kind: 'preference', channel: 'team' }, '#/user_id'],
    ['POST', '/v1/artifacts', undefined, 'user_id'],
    ['POST', '/v1/search', { query: 'word' }, '#/user_id'],
    ['POST', '/v1/search', { query: 'word', user_id: '*' }, '#/user_id'],
    ['POST', '/v1/search', { query: 'word', user_id: 'bob', all_users: true }, '#/all_users'],
    ['POST', '/v1/context', { query: 'word' }, '#/user_id'],
    ['POST', '/v1/context', { query: 'word', all_users: true }, '#/all_users'],
    ['GET', '/v1/events', undefined, 'user_id'],
    ['GET', '/v1/events?user_id=bob&all_users=true', undefined, 'all_users'],
    ['GET', '/v1/memories', undefined, 'user_id'],
    ['GET', '/v1/capsules', undefined, 'user_id'],
    ['GET', '/v1/edits', undefined, 'user_id'],
    ['GET', '/v1/export', undefined, 'user_id'],
    ['GET', `/v1/events/${own.event_id}`, undefined, 'user_id'],
    ['GET', `/v1/chunks/${own.chunk_ids[0]}`, undefined, 'user_id'],
    ['GET', `/v1/memories/${memory.memory_id}`, undefined, 'user_id'],
    ['GET', `/v1/memories/${memory.memory_id}/versions`, undefined, 'user_id'],
    ['GET', `/v1/memories/${memory.memory_id}/history`, undefined, 'user_id'],
    ['PATCH', `/v1/memories/${memory.memory_id}`, { text: 'other' }, 'user_id'],
    ['DELETE', `/v1/memories/${memory.memory_id}`, undefined, 'user_id'],
  ];
  for (const [method, path, body, place] of refused)
    expect([method, path, ...places(await back(method, path, body))]).toEqual([method, path, 422, place]);
  for (const path of ['events', 'search', 'context'])
    expect((await back('GET', `/v1/${path}?channel=team`)).status).toBe(path === 'events' ? 200 : 405);
  expect((await back('POST', '/v1/search', { query: 'word', channel: 'team' })).status).toBe(200);
  expect((await back('POST', '/v1/context', { query: 'word', channel: 'team' })).status).toBe(200);
});

/** Returns what a login, or the back end on behalf of that user, sees. */
async function seen(request: Ask, user?: string) {
  const [q, b] = user === undefined ? ['', {}] : [`&user_id=${user}`, { user_id: user }];
  const ok = ({ status, body }: { status: number; body: any }) => {
    if (status !== 200) throw new Error(JSON.stringify(body));
    return body;
  };
  const context = ok(await request('POST', '/v1/context', { query: 'falcons nest', ...b }));
  return {
    events: ok(await request('GET', `/v1/events?limit=1000${q}`)).data,
    memories: ok(await request('GET', `/v1/memories?limit=1000${q}`)).data,
    search: ok(await request('POST', '/v1/search', { query: 'falcons nest', limit: 100, ...b })).data,
    context: [context.sections, context.omissions, context.provenance.candidate_pool_size],
    capsules: ok(await request('GET', `/v1/capsules?limit=100${q}`)).data,
    edits: ok(await request('GET', `/v1/edits?limit=100${q}`)).data,
  };
}

const asking =
  (client: Client): Ask =>
  (method, path, body) =>
    client.request(method, path, { body });

test('B4 on behalf of a user, the back end sees exactly what the login of that user sees', async () => {
  for (const [who, text] of [
    [bob, 'falcons nest on the north tower'],
    [carol, 'falcons nest on the south tower'],
  ] as const) {
    await who.request('POST', '/v1/events', { body: { text } });
    await who.request('POST', '/v1/events', { body: message(`team: ${text}`, { channel: 'team' }) });
    await who.request('POST', '/v1/memories', { body: { kind: 'preference', text: `says that ${text}` } });
    await who.request('POST', '/v1/memories', { body: { kind: 'decision', text: `guard the ${text}` } });
  }
  const written = await back('POST', '/v1/events', { text: 'falcons nest, said bob to the app', user_id: 'bob' });
  expect(written.status).toBe(201);
  const noted = await back('POST', '/v1/memories', { kind: 'decision', text: 'falcons nest in bob’s barn', user_id: 'bob' });
  expect(noted.body).toMatchObject({ user_id: 'bob', origin: { type: 'agent', id: 'back end' } });
  await bob.request('POST', '/v1/capsules', {
    body: { items: [written.body.event_id], audience: { users: ['carol'] }, channel: 'private' },
  });
  await bob.request('POST', '/v1/edits', { body: { target: written.body.event_id, op: 'retract', reason: 'a slip' } });
  for (const [who, name] of [
    [bob, 'bob'],
    [carol, 'carol'],
  ] as const)
    expect(await seen(back, name)).toEqual(await seen(asking(who)));
  const ids = async (query: string) =>
    (await back('GET', `/v1/events?limit=1000&${query}`)).body.data.map((event: any) => event.event_id);
  expect(await ids('user_id=bob')).toContain(written.body.event_id);
  expect(await ids('user_id=carol')).not.toContain(written.body.event_id);
  for (const path of [`/v1/events/${written.body.event_id}`, `/v1/memories/${noted.body.memory_id}`])
    expect([
      (await back('GET', `${path}?user_id=bob`)).status,
      (await back('GET', `${path}?user_id=carol`)).status,
      (await back('GET', `${path}?all_users=true`)).status,
    ]).toEqual([200, 404, 200]);
  expect((await back('PATCH', `/v1/memories/${noted.body.memory_id}?user_id=carol`, { text: 'x' })).status).toBe(404);
  expect(
    (await back('PATCH', `/v1/memories/${noted.body.memory_id}?user_id=bob`, { text: 'falcons left the barn' })).status,
  ).toBe(200);
});

test('B4 on behalf of a user, the back end cannot cite, replace or share private items of another', async () => {
  const hers = (await back('POST', '/v1/events', { text: 'her secret garden', user_id: 'carol' })).body;
  const decided = (await back('POST', '/v1/memories', { kind: 'decision', text: 'garden at dawn', user_id: 'carol' })).body;
  const answers = [
    await back('POST', '/v1/events', { text: 'x', user_id: 'bob', refs: [hers.event_id] }),
    await back('POST', '/v1/events', {
      kind: 'decision',
      content: { decision: 'y', supersedes: decided.memory_id },
      user_id: 'bob',
    }),
    await back('POST', '/v1/memories', { text: 'z', user_id: 'bob', refs: [hers.event_id] }),
    await back('POST', '/v1/memories', { kind: 'decision', text: 'w', user_id: 'bob', supersedes: decided.memory_id }),
    await back('POST', '/v1/capsules', { items: [hers.event_id], audience: 'all', channel: 'team', user_id: 'bob' }),
  ];
  expect(answers.map(({ status }) => status)).toEqual([404, 404, 404, 404, 404]);
  expect((await back('POST', '/v1/events', { text: 'x', user_id: 'carol', refs: [hers.event_id] })).status).toBe(201);
});

test('B4 `all_users` reads the items of all users, requires such a key or an admin, and is audited', async () => {
  const [his, hers] = [
    (await bob.request('POST', '/v1/events', { body: { text: 'owl one' } })).body,
    (await carol.request('POST', '/v1/events', { body: { text: 'owl two' } })).body,
  ];
  const found = (body: any) => body.data.map((hit: any) => hit.event_id).sort();
  const wanted = [his.event_id, hers.event_id].sort();
  expect(found((await back('POST', '/v1/search', { query: 'owl', all_users: true })).body)).toEqual(
    expect.arrayContaining(wanted),
  );
  expect(found((await alice.request('POST', '/v1/search', { body: { query: 'owl', all_users: true } })).body)).toEqual(
    expect.arrayContaining(wanted),
  );
  expect((await back('GET', '/v1/events?all_users=true&limit=1000')).body.data.map((event: any) => event.event_id)).toEqual(
    expect.arrayContaining(wanted),
  );
  for (const asked of [
    await bob.request('POST', '/v1/search', { body: { query: 'owl', all_users: true } }),
    await bob.request('GET', '/v1/events?all_users=true'),
    await bob.request('GET', '/v1/events?user_id=carol'),
    await bob.request('POST', '/v1/search', { body: { query: 'owl', user_id: 'carol' } }),
    await bob.request('POST', '/v1/context', { body: { query: 'owl', user_id: 'carol' } }),
    await bob.request('GET', `/v1/events/${hers.event_id}?user_id=carol`),
    await bob.request('POST', '/v1/events', { body: { text: 'x', user_id: 'carol' } }),
  ])
    expect(asked.status).toBe(403);
  const audit = (await alice.request('GET', '/v1/audit?limit=200')).body.data.filter(
    (entry: any) => entry.action === 'private.read',
  );
  expect(audit.map(({ route }: any) => route)).toEqual(
    expect.arrayContaining(['POST /v1/search', 'GET /v1/events', 'GET /v1/events/{event_id}']),
  );
  expect(audit).toHaveLength(5);
});

test('B4 `about_user_id` narrows to items about a subject, for every caller', async () => {
  for (const user_id of ['dora', 'emil'])
    await alice.request('POST', '/v1/events', { body: message(`heron of ${user_id}`, { channel: 'team', user_id }) });
  await alice.request('POST', '/v1/events', { body: message('heron of nobody', { channel: 'team' }) });
  const texts = (data: any[]) => data.map(({ text, content }) => text ?? content.text);
  expect(texts((await bob.request('POST', '/v1/search', { body: { query: 'heron', about_user_id: 'dora' } })).body.data)).toEqual(
    ['heron of dora'],
  );
  expect(texts((await bob.request('GET', '/v1/events?about_user_id=emil')).body.data)).toEqual(['heron of emil']);
  const { sections } = (await bob.request('POST', '/v1/context', { body: { query: 'heron', about_user_id: 'dora' } })).body;
  const shown = JSON.stringify(sections);
  expect([shown.includes('heron of dora'), shown.includes('emil'), shown.includes('nobody')]).toEqual([true, false, false]);
});

test('B4 a key that is bound to an agent acts only as that agent', async () => {
  const planner = await keyOf({ agent_id: 'planner', user_id: 'bob' });
  const { event_id } = (await planner('POST', '/v1/events', { text: 'planned' })).body;
  expect((await planner('GET', `/v1/events/${event_id}`)).body).toMatchObject({
    agent_id: 'planner',
    actor: { type: 'agent', id: 'planner' },
    user_id: 'bob',
  });
  for (const [path, body] of [
    ['/v1/events', { text: 'x', agent_id: 'coder' }],
    ['/v1/memories', { text: 'x', agent_id: 'coder' }],
    ['/v1/context', { query: 'x', agent_id: 'coder' }],
  ] as const)
    expect((await planner('POST', path, body)).status).toBe(403);
  expect((await planner('GET', '/auth/me')).body).toMatchObject({ agent_id: 'planner', actor: { type: 'agent', id: 'planner' } });
});
