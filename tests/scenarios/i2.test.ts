import { type Call, clientOf, makeOwner, PASSWORD } from '../auth/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// I2: joining a tenant requires an invite.

let daemon: TestDaemon;
let call: Call;
beforeAll(async () => {
  daemon = await startTestDaemon();
  call = clientOf(daemon.url);
});
afterAll(() => daemon.stop());

const join = (tenant_id: string, invite?: unknown, username = 'mallory') =>
  call('POST', '/auth/register', { body: { username, password: PASSWORD, tenant_id, ...(invite !== undefined && { invite }) } });

const withoutRequestId = ({ status, body: { request_id: _, ...rest } }: { status: number; body: Record<string, unknown> }) =>
  JSON.stringify({ status, ...rest });

async function users(owner: { token: string }): Promise<string[]> {
  const { body } = await call('GET', '/auth/users', { token: owner.token });
  return body.data.map((user: { username: string }) => user.username);
}

test('registration in an existing tenant without an invite fails like one with an invalid invite, and changes nothing', async () => {
  const owner = await makeOwner(call);
  const other = await makeOwner(call);
  const make = async (by: { token: string }, body: object) =>
    (await call('POST', '/auth/invites', { token: by.token, body })).body;
  const used = await make(owner, { role: 'member' });
  expect((await join(owner.tenant_id, used.invite, 'mia')).status).toBe(201);
  const takenBack = await make(owner, { role: 'member' });
  await call('DELETE', `/auth/invites/${takenBack.invite_id}`, { token: owner.token });
  const elsewhere = await make(other, { role: 'owner' });
  const forAnother = await make(owner, { role: 'member', username: 'ada' });
  const good = await make(owner, { role: 'member' });

  const answers = [
    await join(owner.tenant_id),
    await join(owner.tenant_id, 'nonsense'),
    await join(owner.tenant_id, `ami.${owner.tenant_id}.inv_${'0'.repeat(26)}.${'a'.repeat(43)}`),
    await join(owner.tenant_id, good.invite.slice(0, -43) + 'A'.repeat(43)),
    await join(owner.tenant_id, used.invite),
    await join(owner.tenant_id, takenBack.invite),
    await join(owner.tenant_id, elsewhere.invite),
    await join(owner.tenant_id, elsewhere.invite.replace(other.tenant_id, owner.tenant_id)),
    await join(owner.tenant_id, forAnother.invite),
    await join(owner.tenant_id, owner.refresh_token),
    // a taken name is not disclosed without a valid invite
    await join(owner.tenant_id, undefined, 'olga'),
    await join(owner.tenant_id, used.invite, 'olga'),
  ];
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 403));
  expect(new Set(answers.map(withoutRequestId)).size).toBe(1);
  expect(await users(owner)).toEqual(['olga', 'mia']);
  expect(await users(other)).toEqual(['olga']);
});

test('an invite works once, even with concurrent registrations, and grants its role', async () => {
  const owner = await makeOwner(call);
  const { body } = await call('POST', '/auth/invites', { token: owner.token, body: { role: 'reader' } });
  const answers = await Promise.all(Array.from({ length: 10 }, (_, i) => join(owner.tenant_id, body.invite, `guest${i}`)));
  expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array(9).fill(403)]);
  expect(answers.find(({ status }) => status === 201)!.body.user.role).toBe('reader');
  expect(await users(owner)).toHaveLength(2);
  const { body: list } = await call('GET', '/auth/invites', { token: owner.token });
  expect(list.data).toMatchObject([{ invite_id: body.invite_id, used_by: expect.stringMatching(/^usr_/) }]);
  expect(JSON.stringify(list)).not.toContain(body.invite);
});

test('a taken name returns 409 with a valid invite, which stays valid', async () => {
  const owner = await makeOwner(call);
  const { body } = await call('POST', '/auth/invites', { token: owner.token, body: { role: 'member' } });
  expect((await join(owner.tenant_id, body.invite, 'OLGA')).status).toBe(409);
  expect((await join(owner.tenant_id, body.invite, 'mia')).status).toBe(201);
});

test('an invite of a user who may no longer invite is invalid', async () => {
  const owner = await makeOwner(call);
  const invite = async (token: string, role: string) =>
    (await call('POST', '/auth/invites', { token, body: { role } })).body.invite;
  const admin = (await join(owner.tenant_id, await invite(owner.token, 'admin'), 'adam')).body;
  const byAdmin = await invite(admin.access_token, 'member');
  await call('PATCH', `/auth/users/${admin.user.user_id}`, { token: owner.token, body: { role: 'member' } });
  expect((await join(owner.tenant_id, byAdmin)).status).toBe(403);
});

test('with closed registration, no tenant can be created over HTTP, and invited users can still join', async () => {
  const closed = await startTestDaemon({ REGISTRATION: 'closed' });
  const register = clientOf(closed.url);
  const { status } = await register('POST', '/auth/register', {
    body: { username: 'olga', password: PASSWORD, tenant_id: 'new' },
  });
  expect(status).toBe(403);
  await closed.stop();
});
