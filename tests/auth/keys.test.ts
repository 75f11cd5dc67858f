import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';
import { type Ask, type Call, clientOf, makeOwner, makeUser } from './client.ts';

let daemon: TestDaemon;
let call: Call;
beforeAll(async () => {
  daemon = await startTestDaemon();
  call = clientOf(daemon.url);
});
afterAll(() => daemon.stop());

const make = (by: Ask, body: object = {}) =>
  call('POST', '/auth/api-keys', { ...by, body: { name: 'k', role: 'member', scopes: ['read', 'write'], ...body } });
const me = (key: string) => call('GET', '/auth/me', { key });
const inOneHour = () => new Date(Date.now() + 3_600_000).toISOString();

test('a key is shown once, works in both headers, and reports its permissions', async () => {
  const owner = await makeOwner(call);
  const { status, body, headers } = await make(owner, {
    name: 'planner',
    user_id: '*',
    channels: ['team'],
    expires_at: inOneHour(),
  });
  expect(status).toBe(201);
  expect(headers.get('location')).toBe(`/auth/api-keys/${body.key_id}`);
  expect(body.api_key).toMatch(new RegExp(`^amk\\.${owner.tenant_id}\\.${body.key_id}\\.[\\w-]{43}$`));
  expect((await me(body.api_key)).body).toEqual({
    tenant_id: owner.tenant_id,
    kind: 'key',
    id: body.key_id,
    user_id: owner.user.user_id,
    actor: { type: 'agent', id: 'planner' },
    rate_limit: null,
    role: 'member',
    scopes: ['read', 'write'],
    subject: '*',
    subjects: null,
    channels: ['team'],
    expires_at: body.expires_at,
  });
  expect((await call('GET', '/auth/me', { token: body.api_key })).status).toBe(200);
  const list = await call('GET', '/auth/api-keys', { token: owner.token });
  expect(list.body.data).toMatchObject([{ key_id: body.key_id, name: 'planner', used_at: expect.any(String) }]);
  expect(JSON.stringify(list.body)).not.toContain(body.api_key.slice(-43));
});

test.each([
  ['a wrong secret', (key: string) => key.slice(0, -43) + 'A'.repeat(43)],
  ['another tenant’s name', (key: string) => key.replace(/^amk\.[^.]+/, 'amk.other')],
  ['another kind of prefix', (key: string) => key.replace('amk', 'amr')],
  ['a longer secret', (key: string) => `${key}A`],
])('a key with %s returns 401', async (_, spoil) => {
  const key = (await make(await makeOwner(call))).body.api_key;
  expect((await me(spoil(key))).status).toBe(401);
  expect((await me(key)).status).toBe(200);
});

test('members create keys only for their own subject, readers none', async () => {
  const owner = await makeOwner(call);
  const member = await makeUser(call, owner, 'member', 'mia');
  const reader = await makeUser(call, owner, 'reader', 'rita');
  expect((await make(member)).body.user_id).toBe('mia');
  expect((await make(member, { user_id: 'olga' })).status).toBe(403);
  expect((await make(member, { user_id: '*' })).status).toBe(403);
  expect((await make(member, { role: 'admin' })).status).toBe(403);
  expect((await make(reader, { role: 'reader', scopes: ['read'] })).status).toBe(403);
  expect((await make(owner, { user_id: 'mia' })).status).toBe(201);
});

test.each([
  ['a scope beyond its role', { role: 'reader', scopes: ['read', 'write'] }],
  ['the admin scope as a member', { role: 'member', scopes: ['admin'] }],
  ['no scope', { scopes: [] }],
  ['an unknown scope', { scopes: ['root'] }],
  ['an expiry in the past', { expires_at: '2020-01-01T00:00:00Z' }],
  ['an unknown channel', { channels: ['secret'] }],
  ['an unknown field', { tenant: 'x' }],
])('a key with %s returns 422', async (_, body) => {
  expect((await make(await makeOwner(call), body)).status).toBe(422);
});

test('a key creates keys only within its own role, scopes, subject, channels and expiry', async () => {
  const owner = await makeOwner(call);
  const expires_at = inOneHour();
  const parent = (await make(owner, { user_id: 'bob', channels: ['team', 'public'], expires_at })).body.api_key;
  const fits = { channels: ['team'], expires_at };
  expect((await make({ key: parent }, fits)).body).toMatchObject({
    user_id: 'bob',
    created_with: expect.stringMatching(/^key_/),
  });
  for (const excess of [
    { ...fits, role: 'admin' },
    { ...fits, user_id: 'olga' },
    { ...fits, user_id: '*' },
    { ...fits, channels: ['private'] },
    { expires_at },
    { channels: ['team'] },
    { ...fits, expires_at: new Date(Date.parse(expires_at) + 1000).toISOString() },
  ])
    expect((await make({ key: parent }, excess)).status).toBe(403);
  const readOnly = (await make(owner, { scopes: ['read'] })).body.api_key;
  expect((await make({ key: readOnly }, { scopes: ['read'] })).status).toBe(403);
  const admin = (await make(owner, { role: 'admin', scopes: ['read', 'write', 'admin'] })).body.api_key;
  expect((await make({ key: admin }, { user_id: 'bob' })).status).toBe(403);
  expect((await make({ key: admin }, { role: 'owner' })).status).toBe(403);
});

test('revoking a key also revokes the keys created with it', async () => {
  const owner = await makeOwner(call);
  const parent = (await make(owner)).body;
  const child = (await make({ key: parent.api_key })).body;
  const grandchild = (await make({ key: child.api_key })).body;
  const other = (await make(owner)).body;
  expect((await me(grandchild.api_key)).status).toBe(200);
  expect((await call('DELETE', `/auth/api-keys/${parent.key_id}`, { token: owner.token })).status).toBe(204);
  for (const { api_key } of [parent, child, grandchild]) expect((await me(api_key)).status).toBe(401);
  expect((await me(other.api_key)).status).toBe(200);
  expect((await call('DELETE', `/auth/api-keys/${parent.key_id}`, { token: owner.token })).status).toBe(404);
});

test('members see and revoke their own keys, admins all keys of the tenant that are not above them', async () => {
  const owner = await makeOwner(call);
  const admin = await makeUser(call, owner, 'admin', 'adam');
  const member = await makeUser(call, owner, 'member', 'mia');
  const stranger = await makeOwner(call);
  const owners = (await make(owner, { role: 'owner' })).body;
  const members = (await make(member)).body;
  const seenBy = async (by: Ask) =>
    (await call('GET', '/auth/api-keys', by)).body.data.map((key: { key_id: string }) => key.key_id);
  const revoke = async (by: Ask, { key_id }: { key_id: string }) => (await call('DELETE', `/auth/api-keys/${key_id}`, by)).status;
  expect(await seenBy({ token: member.token })).toEqual([members.key_id]);
  expect(await seenBy({ key: members.api_key })).toEqual([members.key_id]);
  expect(await seenBy({ token: admin.token })).toEqual([owners.key_id, members.key_id]);
  expect(await seenBy({ token: stranger.token })).toEqual([]);
  expect(await revoke({ token: member.token }, owners)).toBe(404);
  expect(await revoke({ token: stranger.token }, members)).toBe(404);
  expect(await revoke({ token: admin.token }, owners)).toBe(403);
  expect(await revoke({ token: admin.token }, members)).toBe(204);
});

test('a key is demoted with its creator, and stops if it acts for other subjects and its creator no longer may', async () => {
  const owner = await makeOwner(call);
  const admin = await makeUser(call, owner, 'admin', 'adam');
  const own = (await make(admin, { role: 'admin', scopes: ['read', 'write', 'admin'] })).body.api_key;
  const forAll = (await make(admin, { user_id: '*' })).body.api_key;
  expect((await me(forAll)).status).toBe(200);
  await call('PATCH', `/auth/users/${admin.user.user_id}`, { token: owner.token, body: { role: 'reader' } });
  expect((await me(own)).body).toMatchObject({ role: 'reader', scopes: ['read'] });
  expect((await me(forAll)).status).toBe(401);
});

test('a key expires', async () => {
  const owner = await makeOwner(call);
  const ending = async (in_ms: number) =>
    (await make(owner, { expires_at: new Date(Date.now() + in_ms).toISOString() })).body.api_key;
  const [long, short] = [await ending(3_600_000), await ending(2_000)];
  await eventually(async () => (await me(short)).status === 401, 'the key expires');
  expect((await me(long)).status).toBe(200);
});

test('a key has no password and no sessions', async () => {
  const owner = await makeOwner(call);
  const key = (await make(owner)).body.api_key;
  const body = { current_password: 'x', new_password: 'Another-good-one-7' };
  expect((await call('PUT', '/auth/me/password', { key, body })).status).toBe(403);
  expect((await call('GET', '/auth/sessions', { key })).status).toBe(403);
  expect((await call('DELETE', '/auth/sessions', { key })).status).toBe(403);
});
