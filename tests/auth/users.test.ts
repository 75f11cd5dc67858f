import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { type Call, clientOf, makeOwner, makeUser, PASSWORD } from './client.ts';

let daemon: TestDaemon;
let call: Call;
beforeAll(async () => {
  daemon = await startTestDaemon();
  call = clientOf(daemon.url);
});
afterAll(() => daemon.stop());

const patch = (by: { token: string }, user: { user_id: string }, body: object) =>
  call('PATCH', `/auth/users/${user.user_id}`, { token: by.token, body });
const login = (tenant_id: string, username: string, password = PASSWORD) =>
  call('POST', '/auth/login', { body: { tenant_id, username, password } });
const isGood = async (token: string) => (await call('GET', '/auth/me', { token })).status === 200;

test('admins list users in pages; members and readers get 403', async () => {
  const owner = await makeOwner(call);
  const admin = await makeUser(call, owner, 'admin', 'adam');
  const member = await makeUser(call, owner, 'member', 'mia');
  const reader = await makeUser(call, owner, 'reader', 'rita');
  const first = await call('GET', '/auth/users?limit=3', { token: admin.token });
  const second = await call('GET', `/auth/users?limit=3&cursor=${first.body.next_cursor}`, { token: admin.token });
  expect([...first.body.data, ...second.body.data].map((user) => [user.username, user.role])).toEqual([
    ['olga', 'owner'],
    ['adam', 'admin'],
    ['mia', 'member'],
    ['rita', 'reader'],
  ]);
  expect(second.body.next_cursor).toBeNull();
  expect(JSON.stringify(first.body)).not.toMatch(/hash|\$2[aby]\$/);
  for (const { token } of [member, reader]) {
    expect((await call('GET', '/auth/users', { token })).status).toBe(403);
    expect((await call('POST', '/auth/invites', { token, body: { role: 'reader' } })).status).toBe(403);
  }
});

test('nobody can change, create or invite a user above their own role', async () => {
  const owner = await makeOwner(call);
  const admin = await makeUser(call, owner, 'admin', 'adam');
  const member = await makeUser(call, owner, 'member', 'mia');
  expect((await patch(admin, owner.user, { role: 'member' })).status).toBe(403);
  expect((await patch(admin, owner.user, { disabled: true })).status).toBe(403);
  expect((await patch(admin, admin.user, { role: 'owner' })).status).toBe(403);
  expect((await patch(admin, member.user, { role: 'owner' })).status).toBe(403);
  expect((await patch(member, member.user, { role: 'admin' })).status).toBe(403);
  expect((await call('POST', '/auth/invites', { token: admin.token, body: { role: 'owner' } })).status).toBe(403);
  expect((await call('POST', `/auth/users/${owner.user.user_id}/password-reset`, { token: admin.token })).status).toBe(403);
  expect((await patch(admin, member.user, { role: 'admin' })).status).toBe(200);
});

test('a key can neither create an invite or reset nor change a user', async () => {
  const owner = await makeOwner(call);
  const member = await makeUser(call, owner, 'member', 'mia');
  const wanted = { name: 'k', role: 'owner', scopes: ['read', 'write', 'admin'] };
  const key = (await call('POST', '/auth/api-keys', { token: owner.token, body: wanted })).body.api_key;
  expect((await call('GET', '/auth/users', { key })).status).toBe(200);
  const path = `/auth/users/${member.user.user_id}`;
  expect((await call('POST', '/auth/invites', { key, body: { role: 'reader' } })).status).toBe(403);
  expect((await call('POST', `${path}/password-reset`, { key })).status).toBe(403);
  expect((await call('PATCH', path, { key, body: { role: 'admin' } })).status).toBe(403);
});

test('an invite becomes invalid when its creator loses the right to create it', async () => {
  const owner = await makeOwner(call);
  const admin = await makeUser(call, owner, 'admin', 'adam');
  const { invite } = (await call('POST', '/auth/invites', { token: admin.token, body: { role: 'admin' } })).body;
  const join = () =>
    call('POST', '/auth/register', {
      body: { username: 'nora', password: PASSWORD, tenant_id: owner.tenant_id, invite },
    });
  for (const change of [{ role: 'member' }, { role: 'admin', disabled: true }]) {
    expect((await patch(owner, admin.user, change)).status).toBe(200);
    expect((await join()).status).toBe(403);
  }
  await patch(owner, admin.user, { disabled: false });
  expect((await join()).status).toBe(201);
});

test('a user of another tenant returns 404', async () => {
  const owner = await makeOwner(call);
  const other = await makeOwner(call);
  expect((await patch(owner, other.user, { role: 'reader' })).status).toBe(404);
  expect((await call('POST', `/auth/users/${other.user.user_id}/password-reset`, { token: owner.token })).status).toBe(404);
});

test('a changed role applies at once to an existing token', async () => {
  const owner = await makeOwner(call);
  const admin = await makeUser(call, owner, 'admin', 'adam');
  expect((await call('GET', '/auth/users', { token: admin.token })).status).toBe(200);
  expect((await patch(owner, admin.user, { role: 'reader' })).body).toMatchObject({ role: 'reader', disabled: false });
  expect((await call('GET', '/auth/me', { token: admin.token })).body).toMatchObject({ role: 'reader', scopes: ['read'] });
  expect((await call('GET', '/auth/users', { token: admin.token })).status).toBe(403);
});

test('a disabled user loses tokens, login, refresh and keys at once; old tokens stay invalid after the user is enabled again', async () => {
  const owner = await makeOwner(call);
  const member = await makeUser(call, owner, 'member', 'mia');
  const key = (
    await call('POST', '/auth/api-keys', { token: member.token, body: { name: 'k', role: 'member', scopes: ['read'] } })
  ).body.api_key;
  expect((await call('GET', '/auth/me', { key })).status).toBe(200);
  expect((await patch(owner, member.user, { disabled: true })).body.disabled).toBe(true);
  expect(await isGood(member.token)).toBe(false);
  expect((await call('GET', '/auth/me', { key })).status).toBe(401);
  expect((await login(owner.tenant_id, 'mia')).status).toBe(401);
  expect((await call('POST', '/auth/refresh', { body: { refresh_token: member.refresh_token } })).status).toBe(401);
  expect((await patch(owner, member.user, { disabled: false })).body.disabled).toBe(false);
  expect(await isGood(member.token)).toBe(false);
  expect((await call('POST', '/auth/refresh', { body: { refresh_token: member.refresh_token } })).status).toBe(401);
  expect((await login(owner.tenant_id, 'mia')).status).toBe(200);
});

test('the last owner can be neither demoted nor disabled', async () => {
  const owner = await makeOwner(call);
  await makeUser(call, owner, 'admin', 'adam');
  expect((await patch(owner, owner.user, { role: 'admin' })).status).toBe(409);
  expect((await patch(owner, owner.user, { disabled: true })).status).toBe(409);
});

test('one owner remains after several owners demote each other at once', async () => {
  const owner = await makeOwner(call);
  const owners = [owner, ...(await Promise.all(['otto', 'oona', 'orla'].map((name) => makeUser(call, owner, 'owner', name))))];
  const demote = owners.map((one, i) => patch(one, owners[(i + 1) % owners.length]!.user, { role: 'member' }));
  const answers = await Promise.all(demote);
  const statuses = answers.map(({ status }) => status);
  expect(statuses).toContain(200);
  const { tenant_id } = owner;
  const left = await Promise.all(owners.map(async ({ user }) => (await login(tenant_id, user.username)).body.user.role));
  expect(left).toContain('owner');
});

test('changing the password requires the current one and ends all other sessions', async () => {
  const owner = await makeOwner(call);
  const elsewhere = (await login(owner.tenant_id, 'olga')).body;
  const change = (current_password: string, new_password: string) =>
    call('PUT', '/auth/me/password', { token: owner.token, body: { current_password, new_password } });
  expect((await change('wrong-password', 'Another-good-one-7')).status).toBe(403);
  expect((await change(PASSWORD, 'short')).status).toBe(422);
  expect((await change(PASSWORD, 'Another-good-one-7')).status).toBe(204);
  expect(await isGood(owner.token)).toBe(true);
  expect(await isGood(elsewhere.access_token)).toBe(false);
  expect((await login(owner.tenant_id, 'olga')).status).toBe(401);
  expect((await login(owner.tenant_id, 'olga', 'Another-good-one-7')).status).toBe(200);
});

test('a user lists their sessions and ends one or all others', async () => {
  const owner = await makeOwner(call);
  const [second, third, fourth] = await Promise.all(
    Array.from({ length: 3 }, async () => (await login(owner.tenant_id, 'olga')).body),
  );
  const list = async () => (await call('GET', '/auth/sessions', { token: owner.token })).body.data;
  const sidOf = async (token: string) => (await call('GET', '/auth/me', { token })).body.session_id;
  expect(await list()).toHaveLength(4);
  expect((await list()).filter((session: { current: boolean }) => session.current)).toMatchObject([
    { session_id: await sidOf(owner.token), address: '127.0.0.1', user_agent: 'node' },
  ]);
  const end = (path: string) => call('DELETE', path, { token: owner.token });
  expect((await end(`/auth/sessions/${await sidOf(second.access_token)}`)).status).toBe(204);
  expect((await end(`/auth/sessions?id=${await sidOf(third.access_token)}`)).status).toBe(204);
  expect((await end('/auth/sessions/ses_unknown')).status).toBe(404);
  const other = await makeOwner(call);
  expect((await end(`/auth/sessions/${await sidOf(other.token)}`)).status).toBe(404);
  expect(await isGood(second.access_token)).toBe(false);
  expect(await isGood(third.access_token)).toBe(false);
  expect(await isGood(fourth.access_token)).toBe(true);
  expect((await end('/auth/sessions')).status).toBe(204);
  expect(await isGood(fourth.access_token)).toBe(false);
  expect(await list()).toHaveLength(1);
});

test('a reset token works once and ends every session, and only the latest is valid', async () => {
  const owner = await makeOwner(call);
  const member = await makeUser(call, owner, 'member', 'mia');
  const make = async () =>
    (await call('POST', `/auth/users/${member.user.user_id}/password-reset`, { token: owner.token })).body.token;
  const reset = (token: string, new_password = 'A-whole-new-word-4') =>
    call('POST', '/auth/password-reset', { body: { token, new_password } });
  const old = await make();
  const token = await make();
  expect((await reset(old)).status).toBe(401);
  expect((await reset(token, 'mia-mia-mia')).status).toBe(422);
  const answers = await Promise.all([reset(token), reset(token), reset(token)]);
  expect(answers.map(({ status }) => status).sort()).toEqual([204, 401, 401]);
  expect(await isGood(member.token)).toBe(false);
  expect((await login(owner.tenant_id, 'mia', 'A-whole-new-word-4')).status).toBe(200);
  expect((await reset('nonsense')).status).toBe(401);
});
