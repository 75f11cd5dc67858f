import { type Call, clientOf, makeOwner, makeUser, PASSWORD } from '../auth/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
let call: Call;
beforeAll(async () => {
  daemon = await startTestDaemon();
  call = clientOf(daemon.url);
});
afterAll(() => daemon.stop());

const read = (token: string) => call('GET', '/v1/tenant', { token });
const patch = (token: string, body: object, headers: Record<string, string> = {}) =>
  call('PATCH', '/v1/tenant', { token, body, headers });

test('all roles read the tenant; admins change it with If-Match', async () => {
  const owner = await makeOwner(call);
  const member = await makeUser(call, owner, 'member', 'mia');
  const before = await read(member.token);
  expect(before.body).toEqual({
    tenant_id: owner.tenant_id,
    state: 'active',
    language: 'english',
    settings: {},
    quotas: { max_bytes: null },
    version: 1,
    created_at: expect.any(String),
  });
  expect(before.headers.get('etag')).toBe('"1"');
  expect((await patch(member.token, { language: 'german' })).status).toBe(403);
  const changed = await patch(owner.token, { language: 'german', settings: { display_name: 'Acme' } }, { 'if-match': '"1"' });
  expect(changed.body).toMatchObject({ language: 'german', settings: { display_name: 'Acme' }, version: 2 });
  expect(changed.headers.get('etag')).toBe('"2"');
  expect((await patch(owner.token, { language: 'french' }, { 'if-match': '"1"' })).status).toBe(412);
  expect((await patch(owner.token, { settings: { display_name: null } })).body).toMatchObject({
    language: 'german',
    settings: {},
  });
});

test.each([
  ['an unknown language', { language: 'klingon' }],
  ['a language with SQL in it', { language: "english'; drop table users; --" }],
  ['a quota, which only the operator sets', { quotas: { max_bytes: 1 } }],
  ['a quota by another name', { max_bytes: 1 }],
  ['an unknown setting', { settings: { theme: 'dark' } }],
  ['a state', { state: 'suspended' }],
  ['nothing', {}],
])('a change with %s returns 422', async (_, body) => {
  expect((await patch((await makeOwner(call)).token, body)).status).toBe(422);
});

test('a change with the same Idempotency-Key is applied once', async () => {
  const { token } = await makeOwner(call);
  const headers = { 'idempotency-key': 'once' };
  const answers = await Promise.all(Array.from({ length: 5 }, () => patch(token, { language: 'german' }, headers)));
  expect(answers.map(({ status, body }) => [status, body.version])).toEqual(Array(5).fill([200, 2]));
  expect(answers.filter(({ headers }) => headers.get('idempotent-replay') === 'true')).toHaveLength(4);
  expect((await patch(token, { language: 'french' }, headers)).status).toBe(409);
});

test('usage reports stored data and accounts', async () => {
  const owner = await makeOwner(call);
  await makeUser(call, owner, 'reader', 'rita');
  await call('POST', '/auth/api-keys', { token: owner.token, body: { name: 'k', role: 'reader', scopes: ['read'] } });
  const event = {
    session_id: 's',
    channel: 'team',
    actor: { type: 'human', id: 'olga' },
    kind: 'message',
    content: { text: 'hello' },
  };
  expect((await call('POST', '/v1/events', { token: owner.token, body: event })).status).toBe(201);
  const { body } = await call('GET', '/v1/usage', { token: owner.token });
  expect(body).toEqual({
    tenant_id: owner.tenant_id,
    events: 1,
    bytes: expect.any(Number),
    max_bytes: null,
    last_seq: 1,
    oldest_seq: 1,
    users: 2,
    api_keys: 1,
  });
  expect(body.bytes).toBeGreaterThan(0);
});

test('only an owner with an access token deletes the tenant; then no credential works and the name stays reserved', async () => {
  const owner = await makeOwner(call);
  const bystander = await makeOwner(call);
  const admin = await makeUser(call, owner, 'admin', 'adam');
  const key = (
    await call('POST', '/auth/api-keys', {
      token: owner.token,
      body: { name: 'k', role: 'owner', scopes: ['read', 'write', 'admin'] },
    })
  ).body.api_key;
  const events = Array.from({ length: 1000 }, (_, i) => ({
    session_id: 's',
    channel: 'team',
    actor: { type: 'human', id: 'olga' },
    kind: 'message',
    content: { text: `hello ${i}` },
  }));
  expect((await call('POST', '/v1/events', { token: owner.token, body: { events } })).status).toBe(201);
  const confirm = owner.tenant_id;
  expect((await call('DELETE', '/v1/tenant', { token: admin.token, body: { confirm } })).status).toBe(403);
  expect((await call('DELETE', '/v1/tenant', { key, body: { confirm } })).status).toBe(403);
  expect((await call('DELETE', '/v1/tenant', { token: owner.token, body: { confirm: 'other' } })).status).toBe(422);
  expect((await call('DELETE', '/v1/tenant', { token: bystander.token, body: { confirm } })).status).toBe(422);
  const { status, body } = await call('DELETE', '/v1/tenant', { token: owner.token, body: { confirm } });
  expect([status, body]).toEqual([202, { tenant_id: confirm, state: 'deleting' }]);
  for (const request of [{ token: owner.token }, { token: admin.token }, { key }])
    expect((await call('GET', '/auth/me', request)).status).toBe(401);
  const again = { username: 'olga', password: PASSWORD, tenant_id: confirm };
  expect((await call('POST', '/auth/login', { body: again })).status).toBe(401);
  expect((await call('POST', '/auth/refresh', { body: { refresh_token: owner.refresh_token } })).status).toBe(401);
  expect((await call('POST', '/auth/register', { body: again })).status).toBe(403);
  expect((await read(bystander.token)).status).toBe(200);
});
