import { type Call, clientOf, makeOwner, makeUser } from '../auth/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { isValid, makeKey, minted, payloadOf, settings, sign } from './support.ts';

// The end of a capability, and payloads that are not valid.

let daemon: TestDaemon;
let call: Call;
beforeAll(async () => {
  daemon = await startTestDaemon(settings);
  call = clientOf(daemon.url);
});
afterAll(() => daemon.stop());

type Person = Awaited<ReturnType<typeof makeOwner>>;

describe('validity', () => {
  test('only the payload that was minted is valid, even if another one is signed with the same key', async () => {
    const owner = await makeOwner(call);
    const other = await makeOwner(call);
    const { capability } = await minted(call, owner);
    const payload = payloadOf(capability);
    const forged = [
      { ...payload, ops: ['GET', 'PUT', 'DELETE'] },
      { ...payload, ns: '**' },
      { ...payload, exp: payload.exp + 1 },
      { ...payload, jti: `${payload.jti.slice(0, -1)}${payload.jti.endsWith('0') ? '1' : '0'}` },
      { ...payload, ten: other.tenant_id },
      { ...payload, ten: 'nowhere' },
      { ...payload, sub: other.user.user_id },
      Object.fromEntries(Object.entries(payload).reverse()),
    ].map(sign);
    expect(await Promise.all([capability, ...forged].map((each) => isValid(call, each)))).toEqual([
      true,
      ...forged.map(() => false),
    ]);
  });

  test('a capability is accepted as a bearer token alone', async () => {
    const { capability } = await minted(call, await makeOwner(call));
    expect((await call('GET', '/v1/events', { key: capability })).status).toBe(401);
  });

  test('it expires', async () => {
    const { capability } = await minted(call, await makeOwner(call), { expires_in: 1 });
    await new Promise((resolve) => setTimeout(resolve, payloadOf(capability).exp * 1000 - Date.now() + 1));
    expect(await isValid(call, capability)).toBe(false);
  });

  test('it ends with a revocation, which only an admin or its minter can make', async () => {
    const owner = await makeOwner(call);
    const [mia, otto] = [await makeUser(call, owner, 'member', 'mia'), await makeUser(call, owner, 'member', 'otto')];
    const [one, two] = [await minted(call, mia), await minted(call, mia)];
    const revoke = async ({ jti }: { jti: string }, by: Person) => (await call('DELETE', `/v1/capabilities/${jti}`, by)).status;
    expect(await revoke(one, otto)).toBe(404);
    expect(await isValid(call, one.capability)).toBe(true);
    expect([await revoke(one, mia), await revoke(one, mia), await revoke(two, owner)]).toEqual([204, 404, 204]);
    expect([await isValid(call, one.capability), await isValid(call, two.capability)]).toEqual([false, false]);
  });

  test('it ends with the rights of the user who minted it', async () => {
    const owner = await makeOwner(call);
    const change = (user: Person, body: object) =>
      call('PATCH', `/auth/users/${user.user.user_id}`, { token: owner.token, body });
    const admin = await makeUser(call, owner, 'admin', 'anna');
    const [plain, powerful] = [await minted(call, admin), await minted(call, admin, { ops: ['ADMIN', 'GET'] })];
    const valid = async () => [await isValid(call, plain.capability), await isValid(call, powerful.capability)];
    expect(await valid()).toEqual([true, true]);
    await change(admin, { role: 'member' });
    expect(await valid()).toEqual([true, false]);
    await change(admin, { role: 'reader' });
    expect(await valid()).toEqual([false, false]);
    await change(admin, { role: 'admin' });
    expect(await valid()).toEqual([true, true]);
    await change(admin, { disabled: true });
    expect(await valid()).toEqual([false, false]);
  });

  test('it ends with the key that minted it, and with the user of that key', async () => {
    const owner = await makeOwner(call);
    const member = await makeUser(call, owner, 'member', 'mia');
    const [first, second] = [await makeKey(call, member), await makeKey(call, member)];
    const [one, two] = [await minted(call, { key: first.api_key }), await minted(call, { key: second.api_key })];
    const valid = async () => [await isValid(call, one.capability), await isValid(call, two.capability)];
    expect(await valid()).toEqual([true, true]);
    await call('DELETE', `/auth/api-keys/${first.key_id}`, member);
    expect(await valid()).toEqual([false, true]);
    await call('PATCH', `/auth/users/${member.user.user_id}`, { token: owner.token, body: { disabled: true } });
    expect(await valid()).toEqual([false, false]);
  });

  test('outside its regions the answer is 451, also where the daemon has no region', async () => {
    const { capability } = await minted(call, await makeOwner(call), { regions: ['us-west-2'], ops: ['ADMIN'] });
    expect((await call('GET', '/v1/snapshots', { token: capability })).status).toBe(451);
  });
});
