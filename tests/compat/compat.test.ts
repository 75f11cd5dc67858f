import { type Client, newColleague, newName, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';
import { compatClient, type Row } from './client.ts';

// The HTTP interface of AgentState. The requests are those of its Python and TypeScript clients and of its test scripts.

const tenant_id = newName('compat');
let daemon: TestDaemon;
let alice: Client;
let stranger: Client;
let agent: ReturnType<typeof compatClient>;
beforeAll(async () => {
  daemon = await startTestDaemon({ COMPAT_TENANT: tenant_id });
  alice = await newTenant(daemon.url, tenant_id);
  stranger = await newTenant(daemon.url);
  agent = compatClient(daemon.url, alice.token);
});
afterAll(() => daemon.stop());

const fresh = () => compatClient(daemon.url, alice.token, newName('ns'));

describe('objects', () => {
  test('an object is created with a new id, replaced, read and deleted', async () => {
    const created = await agent.put({ type: 'bot', body: { name: 'a' }, tags: { team: 'x', type: 'own' }, ns: 'ignored' });
    const { id, commit, ts, commit_ts, commit_seq } = created.body;
    const tags = { team: 'x', type: 'own' };
    const fields = { ns: 'agent://demo', type: 'bot', body: { name: 'a' }, tags, ttl_seconds: null, parents: [] };
    expect([created.status, created.body]).toEqual([200, { id, ...fields, commit, ts, commit_ts, commit_seq }]);
    expect([commit, ts === commit_ts, commit_seq > 0]).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/), true, true]);
    expect((await agent.get(id)).body).toEqual(created.body);

    const replaced = await agent.put({ id, type: 'bot', body: { name: 'b' }, tags: {}, ttl_seconds: 60 });
    expect(replaced.body).toMatchObject({ id, body: { name: 'b' }, tags: {}, ttl_seconds: 60 });
    expect(replaced.body.commit_seq).toBeGreaterThan(commit_seq);
    expect(replaced.body.commit).not.toBe(commit);
    expect((await agent.get(id, `?at=${ts}`)).body.body).toEqual({ name: 'a' });

    expect((await agent.del(id)).status).toBe(204);
    expect([(await agent.get(id)).status, (await agent.del(id)).status]).toEqual([404, 404]);
  });

  test('it is the state of the tenant: the namespace is the same raw and encoded, and the type is a tag', async () => {
    await agent.put({ id: 'task-1', type: 'task', body: [1], tags: { a: 'b' } });
    const path = `/v1/state/${encodeURIComponent('agent://demo')}`;
    expect((await alice.request('GET', `${path}/task-1`)).body).toMatchObject({
      body: [1],
      tags: { a: 'b', 'agentstate:type': 'task' },
      channel: 'team',
    });
    await alice.request('PUT', `${path}/task-2`, { body: { body: null } });
    const encoded = compatClient(daemon.url, alice.token, encodeURIComponent('agent://demo'));
    expect((await encoded.get('task-2')).body).toMatchObject({ ns: 'agent://demo', id: 'task-2', type: '', body: null });
  });

  test('a retry with an Idempotency-Key gets the same object, and another body 409', async () => {
    const key = { 'idempotency-key': newName('retry') };
    const first = await agent.put({ type: 'a', body: 1 }, key);
    expect((await agent.put({ type: 'a', body: 1 }, key)).body).toEqual(first.body);
    expect((await agent.put({ type: 'a', body: 2 }, key)).status).toBe(409);
  });

  test.each([
    [{ type: 'a' }, '#/body'],
    [{ body: 1, tags: { 'agentstate:type': 'x' } }, '#/tags'],
    [{ body: 1, ttl_seconds: 0 }, '#/ttl_seconds'],
    [{ body: 1, id: '' }, '#/id'],
  ])('%j is rejected', async (body, pointer) => {
    const answer = await agent.put(body);
    expect([answer.status, answer.body.errors[0].pointer]).toEqual([422, pointer]);
  });
});

describe('queries', () => {
  const idsOf = ({ body }: { body: Row[] }) => body.map(({ id }) => id);

  test('tags select the exact set under both names, also after a change', async () => {
    const here = fresh();
    await here.put({ id: 'a', type: 't', body: 1, tags: { team: 'x', level: 'low' } });
    await here.put({ id: 'b', type: 't', body: 1, tags: { team: 'x' } });
    await here.put({ id: 'c', type: 't', body: 1, tags: { team: 'y' } });
    expect(idsOf(await here.query({ tags: { team: 'x' } }))).toEqual(['a', 'b']);
    expect(idsOf(await here.query({ tag_filter: { team: 'x' }, tags: { level: 'low' } }))).toEqual(['a']);
    await here.put({ id: 'a', type: 't', body: 1, tags: { team: 'y' } });
    expect(idsOf(await here.query({ tags: { team: 'x' } }))).toEqual(['b']);
    expect(idsOf(await here.query({}))).toEqual(['a', 'b', 'c']);
    expect((await here.query({ limit: 2 })).body).toHaveLength(2);
    expect((await here.query({ limit: 0 })).body).toEqual([]);
  });

  test('jsonpath compares values, and fields selects members', async () => {
    const here = fresh();
    await here.put({ id: 'a', type: 't', body: { task: { done: true }, text: 'long', n: 1 } });
    await here.put({ id: 'b', type: 't', body: { task: { done: false }, text: 'long', n: 1 } });
    const found = await here.query({ jsonpath: { equals: { '$.task.done': true, '$.n': 1 } }, fields: ['n'] });
    expect(found.body.map(({ id, body }: Row) => [id, body])).toEqual([['a', { n: 1 }]]);
  });

  test.each([
    [{ vector: { field: 'e', top_k: 1, embedding: [1] } }, '#/vector'],
    [{ jsonpath: { equals: { '$.list[0]': 1 } } }, '#/jsonpath/equals/$.list[0]'],
    [{ limit: -1 }, '#/limit'],
  ])('%j is rejected', async (body, pointer) => {
    const answer = await agent.query(body);
    expect([answer.status, answer.body.errors[0].pointer]).toEqual([422, pointer]);
  });

  test('a list longer than a page is complete', async () => {
    const namespace = newName('long');
    const here = compatClient(daemon.url, alice.token, namespace);
    const ids = Array.from({ length: 2100 }, (_, i) => `k${String(i).padStart(4, '0')}`);
    for (let from = 0; from < ids.length; from += 700) {
      const operations = ids
        .slice(from, from + 700)
        .map((key) => ({ op: 'put', namespace, key, body: key, tags: { all: 'yes' } }));
      expect((await alice.request('POST', '/v1/state/batch', { body: { operations } })).status).toBe(200);
    }
    const all = await here.query({ tags: { all: 'yes' } });
    expect([idsOf(all), all.headers.get('content-type')]).toEqual([ids, 'application/json; charset=utf-8']);
    expect(idsOf(await here.query({ limit: 1500 }))).toEqual(ids.slice(0, 1500));
    expect(idsOf(await here.query({ tags: { all: 'no' } }))).toEqual([]);
  });
});

describe('watches', () => {
  test('data comes before id, so that the Python client does not skip it; an expiry is a deletion; the position resumes', async () => {
    const here = fresh();
    let first = 0;
    const events = await here.watch(3, '', {}, async () => {
      first = (await here.put({ id: 'a', type: 't', body: 1 })).body.commit_seq;
      await here.del('a');
      await here.put({ id: 'b', type: 't', body: 1, ttl_seconds: 1 });
      await eventually(async () => (await here.get('b')).status === 404, 'the object has expired');
      // the write that comes first records the expiry of the object before
      await here.put({ id: 'b', type: 't', body: 2 });
    });
    expect(Object.keys(events[0]!)).toEqual(['data', 'id']);
    expect(events.map(({ id }) => Number(id))).toEqual([first, first + 1, first + 2]);
    expect(events.map(({ data }) => JSON.parse(data!))).toEqual([
      { type: 'put', obj: expect.objectContaining({ id: 'a', type: 't', body: 1, tags: {} }), commit_seq: first },
      { type: 'delete', ns: expect.any(String), id: 'a', commit_seq: first + 1 },
      { type: 'put', obj: expect.objectContaining({ id: 'b', ttl_seconds: 1 }), commit_seq: first + 2 },
    ]);
    const kinds = async (query: string, headers: Record<string, string> = {}) =>
      (await here.watch(3, query, headers)).map(({ data }) => JSON.parse(data!).type);
    expect(await kinds(`?from_commit=${first + 1}`)).toEqual(['delete', 'put', 'delete']);
    expect(await kinds('?from_commit=1', { 'last-event-id': String(first + 1) })).toEqual(['put', 'delete', 'put']);
  });
});

describe('leases', () => {
  test('one owner holds a lease; a write with its token passes, and with another one it answers 409', async () => {
    const here = fresh();
    const { status, body } = await here.lease('acquire', { key: 'job', owner: 'me', ttl: 30 });
    expect([status, Object.keys(body)]).toEqual([200, ['token', 'expires_at']]);
    expect((await here.lease('acquire', { key: 'job', owner: 'you', ttl: 30 })).status).toBe(409);
    const fence = (token: number) => ({ 'if-resource': 'job', 'if-fence': String(token) });
    expect((await here.put({ id: 'a', type: 't', body: 1 }, fence(body.token))).status).toBe(200);
    expect((await here.put({ id: 'a', type: 't', body: 2 }, fence(body.token - 1))).status).toBe(409);
    expect((await here.put({ id: 'a', type: 't', body: 2 }, { 'if-resource': 'job' })).status).toBe(409);
    expect((await here.del('a', fence(body.token + 1))).status).toBe(409);
    expect((await here.get('a')).body.body).toBe(1);

    const claim = { key: 'job', owner: 'me', token: body.token };
    const renewed = await here.lease('renew', { ...claim, ttl: 60 });
    expect([renewed.status, renewed.body.token]).toEqual([200, body.token]);
    expect((await here.lease('renew', { ...claim, token: body.token + 1, ttl: 60 })).status).toBe(409);
    expect((await here.lease('release', { ...claim, owner: 'you' })).status).toBe(409);
    expect((await here.lease('release', claim)).status).toBe(204);
    expect((await here.lease('acquire', { key: 'job', owner: 'you', ttl: 30 })).body.token).toBeGreaterThan(body.token);
  });

  test('the same key in two namespaces names two leases', async () => {
    const [a, b] = [compatClient(daemon.url, alice.token, 'a'), compatClient(daemon.url, alice.token, 'a/b')];
    const owner = newName('owner');
    expect((await a.lease('acquire', { key: 'b/c', owner, ttl: 5 })).status).toBe(200);
    expect((await b.lease('acquire', { key: 'c', owner: `${owner}-2`, ttl: 5 })).status).toBe(200);
  });
});

test('the paths of this service take precedence', async () => {
  const { body } = await alice.request('POST', '/v1/state/query', { body: { namespace: 'agent://demo' } });
  expect(Object.keys(body)).toContain('next_cursor');
  for (const [method, path, status] of [
    ['POST', '/v1/events/objects', 405],
    ['POST', '/v1/agents/x/objects', 404],
    ['GET', '/v1/leases/objects/a', 404],
    ['DELETE', '/v1/audit/objects/a', 404],
  ] as const)
    expect([path, (await agent.call(method, path, method === 'POST' ? {} : undefined)).status]).toEqual([path, status]);
  expect((await agent.call('PATCH', '/v1/mine/objects', {})).body.detail).toBe('The path supports POST.');
});

test('/health answers ok, and the other health checks are unchanged', async () => {
  const { status, body } = await agent.call('GET', '/health');
  expect([status, body]).toEqual([200, 'ok']);
  // as axios sends it
  const text = await agent.call('GET', '/health', undefined, { accept: 'application/json, text/plain, */*' });
  expect(text.body).toBe('ok');
  const json = await agent.call('GET', '/health', undefined, { accept: 'application/json' });
  expect(json.body).toMatchObject({ status: 'healthy', authenticated: true });
  expect((await agent.call('GET', '/health/ready')).body.status).toBe('ready');
});

describe('credentials', () => {
  const requests = [
    ['POST', '/v1/ns/objects', { body: 1 }],
    ['GET', '/v1/ns/objects/a', undefined],
    ['DELETE', '/v1/ns/objects/a', undefined],
    ['POST', '/v1/ns/query', {}],
    ['GET', '/v1/ns/watch', undefined],
    ['POST', '/v1/ns/lease/acquire', { key: 'k', owner: 'o', ttl: 5 }],
    ['POST', '/v1/ns/lease/renew', { key: 'k', owner: 'o', token: 1, ttl: 5 }],
    ['POST', '/v1/ns/lease/release', { key: 'k', owner: 'o', token: 1 }],
  ] as const;

  test.each(requests)('%s %s requires a credential of the tenant', async (method, path, body) => {
    expect((await compatClient(daemon.url).call(method, path, body)).status).toBe(401);
    expect((await compatClient(daemon.url, 'wrong').call(method, path, body)).status).toBe(401);
    const foreign = await compatClient(daemon.url, stranger.token).call(method, path, body);
    expect([foreign.status, foreign.body.detail]).toEqual([403, expect.stringContaining('COMPAT_TENANT')]);
  });

  test('all routes are in the list', () => {
    const own = daemon.routes.filter(({ tag, path }) => tag === 'AgentState' && path.startsWith('/v1/'));
    expect(own).toHaveLength(requests.length);
  });

  test('a reader cannot write, and a capability is limited to its namespaces and operations', async () => {
    const reader = await newColleague(alice, 'rita', 'reader');
    const reading = compatClient(daemon.url, reader.token);
    expect([(await reading.put({ body: 1 })).status, (await reading.query({})).status]).toEqual([403, 200]);
    const grant = { ns: 'agent://mine', ops: ['PUT', 'LEASE'], expires_in: 600 };
    const { capability } = (await alice.request('POST', '/v1/capabilities', { body: grant })).body;
    const mine = compatClient(daemon.url, capability, 'agent://mine/x');
    const other = compatClient(daemon.url, capability, 'agent://other');
    const lease = { key: 'k', owner: 'o', ttl: 5 };
    const statuses = [
      await mine.put({ body: 1 }),
      await other.put({ body: 1 }),
      await mine.query({}),
      await mine.lease('acquire', lease),
      await other.lease('acquire', lease),
    ].map(({ status }) => status);
    expect(statuses).toEqual([200, 403, 403, 200, 403]);
  });

  test('an object that the caller may not see is absent', async () => {
    const bob = await newColleague(alice, 'bob');
    const path = `/v1/state/${encodeURIComponent('agent://demo')}/secret`;
    await alice.request('PUT', path, { body: { body: 1, channel: 'private' } });
    const theirs = compatClient(daemon.url, bob.token);
    expect([(await theirs.get('secret')).status, (await agent.get('secret')).status]).toEqual([404, 200]);
    expect((await theirs.query({})).body.map(({ id }: Row) => id)).not.toContain('secret');
    expect((await theirs.put({ id: 'secret', body: 2 })).status).toBe(404);
  });
});

test('without COMPAT_TENANT the paths do not exist, and /health answers JSON', async () => {
  const plain = await startTestDaemon();
  const someone = await newTenant(plain.url);
  const { call } = compatClient(plain.url, someone.token);
  expect((await call('POST', '/v1/ns/objects', { body: 1 })).status).toBe(404);
  expect((await call('GET', '/v1/ns/watch')).status).toBe(404);
  expect((await call('GET', '/health')).body).toMatchObject({ status: 'healthy' });
  await plain.stop();
});
