import { createHmac } from 'node:crypto';
import { loadConfig } from '../../src/config.ts';
import { describeService } from '../../src/wiring.ts';
import { type Call, clientOf, makeOwner, makeUser } from '../auth/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';

// Minting, listing, revoking and the validity of capabilities. A valid capability gets 403 from a route that it cannot use, an invalid one 401.

const KEY = Buffer.alloc(32, 'capabilities').toString('base64');

let daemon: TestDaemon;
let call: Call;
beforeAll(async () => {
  daemon = await startTestDaemon({ CAP_KEY_ACTIVE: KEY, CAP_KEY_ACTIVE_ID: 'test-1', AUDIT_WINDOW_MS: '100' });
  call = clientOf(daemon.url);
});
afterAll(() => daemon.stop());

type Person = Awaited<ReturnType<typeof makeOwner>>;
const grant = { ns: 'agent://demo', ops: ['GET', 'PUT'], expires_in: 600 };

const mint = (by: { token?: string; key?: string }, more: object = {}) =>
  call('POST', '/v1/capabilities', { ...by, body: { ...grant, ...more } });
async function minted(by: { token?: string; key?: string }, more: object = {}): Promise<{ capability: string; jti: string }> {
  const { status, body } = await mint(by, more);
  if (status !== 201) throw new Error(`not minted: ${status} ${JSON.stringify(body)}`);
  return body;
}
const isValid = async (capability: string): Promise<boolean> => {
  const { status } = await call('GET', '/v1/events', { token: capability });
  if (status !== 401 && status !== 403) throw new Error(`unexpected status ${status}`);
  return status === 403;
};
const payloadOf = (capability: string) => JSON.parse(Buffer.from(capability.split('.')[1]!, 'base64url').toString());
const makeKey = async ({ token }: { token: string }, more: object = {}) =>
  (await call('POST', '/auth/api-keys', { token, body: { name: 'k', role: 'member', scopes: ['read', 'write'], ...more } })).body;

/** Signs a payload with the key of the service. */
function sign(payload: object): string {
  const bytes = Buffer.from(JSON.stringify(payload));
  const mac = createHmac('sha256', Buffer.from(KEY, 'base64')).update(bytes).digest('base64url');
  return `test-1.${bytes.toString('base64url')}.${mac}`;
}

describe('minting', () => {
  let owner: Person;
  let member: Person;
  beforeAll(async () => {
    owner = await makeOwner(call);
    member = await makeUser(call, owner, 'member', 'mia');
  });

  test('the answer has the capability, its id and its expiry; the payload has the claims', async () => {
    const restrictions = { regions: ['eu'], max_bytes: 1000, max_qps: 5, agent: 'planner' };
    const before = Math.floor(Date.now() / 1000);
    const { status, body } = await mint(member, restrictions);
    expect([status, Object.keys(body).sort()]).toEqual([201, ['capability', 'expires_at', 'jti']]);
    const { ten, jti, sub, iat, exp, ...rest } = payloadOf(body.capability);
    expect({ ten, jti, sub }).toEqual({ ten: member.tenant_id, jti: body.jti, sub: member.user.user_id });
    expect(rest).toEqual({ ns: grant.ns, ops: grant.ops, ...restrictions });
    expect(exp - iat).toBe(600);
    expect(iat).toBeGreaterThanOrEqual(before);
    expect(Date.parse(body.expires_at)).toBe(exp * 1000);
    expect(body.capability).toBe(sign(payloadOf(body.capability)));
  });

  test.each([
    [{ ns: 'a/' }, '#/ns'],
    [{ ns: [] }, '#/ns'],
    [{ ns: undefined }, '#/ns'],
    [{ ops: [] }, '#/ops'],
    [{ ops: ['POST'] }, '#/ops/0'],
    [{ expires_in: 0 }, '#/expires_in'],
    [{ expires_in: 31_622_401 }, '#/expires_in'],
    [{ expires_in: undefined }, '#/expires_in'],
    [{ regions: [] }, '#/regions'],
    [{ max_qps: 0 }, '#/max_qps'],
    [{ max_bytes: 0.5 }, '#/max_bytes'],
    [{ verbs: ['put'] }, '#/verbs'],
  ])('%j is rejected with 422', async (more, pointer) => {
    const { status, body } = await mint(owner, more);
    expect([status, body.errors[0].pointer]).toEqual([422, pointer]);
  });

  test('namespaces that make the capability too long for a header are rejected with 422', async () => {
    const long = Array.from({ length: 16 }, (_, i) => `${i}${'ß'.repeat(250)}`);
    expect((await mint(owner, { ns: long })).status).toBe(422);
  });

  test('nobody permits more than they may do', async () => {
    const reader = await makeUser(call, owner, 'reader', 'rita');
    const key = await makeKey(member);
    const readKey = await makeKey(member, { scopes: ['read'] });
    const weakAdminKey = await makeKey(owner, { role: 'admin', scopes: ['read', 'write'] });
    const adminKey = await makeKey(owner, { role: 'admin', scopes: ['read', 'write', 'admin'] });
    const admin = { ops: ['ADMIN'] };
    const statuses = await Promise.all(
      [
        mint(reader, { ops: ['GET'] }),
        mint({ key: readKey.api_key }, { ops: ['GET'] }),
        mint(member, admin),
        mint({ key: key.api_key }, admin),
        mint({ key: weakAdminKey.api_key }, admin),
        mint({ key: key.api_key }),
        mint({ key: adminKey.api_key }, admin),
        mint(owner, admin),
      ].map(async (answer) => (await answer).status),
    );
    expect(statuses).toEqual([403, 403, 403, 403, 403, 201, 201, 201]);
  });

  test('a key cannot mint a capability that outlives it', async () => {
    const key = await makeKey(member, { expires_at: new Date(Date.now() + 300_000).toISOString() });
    const statuses = await Promise.all(
      [301, 200].map(async (expires_in) => (await mint({ key: key.api_key }, { expires_in })).status),
    );
    expect(statuses).toEqual([403, 201]);
  });

  test('a key that acts as one agent mints for that agent alone', async () => {
    const key = await makeKey(member, { agent_id: 'planner' });
    expect((await mint({ key: key.api_key }, { agent: 'coder' })).status).toBe(403);
    const { capability } = await minted({ key: key.api_key });
    expect(payloadOf(capability)).toMatchObject({ agent: 'planner', sub: key.key_id });
  });

  test('a repeated Idempotency-Key mints nothing and returns 409', async () => {
    const headers = { 'idempotency-key': 'once' };
    const request = () => call('POST', '/v1/capabilities', { token: member.token, body: { ...grant, ns: 'once' }, headers });
    expect([(await request()).status, (await request()).status]).toEqual([201, 409]);
    const { data } = (await call('GET', '/v1/capabilities', member)).body;
    expect(data.filter(({ ns }: { ns: string[] }) => ns[0] === 'once')).toHaveLength(1);
  });
});

test('every route that names no operation refuses a capability for everything with 403', async () => {
  const owner = await makeOwner(call);
  const { capability } = await minted(owner, { ns: '**', ops: ['PUT', 'GET', 'DELETE', 'WATCH', 'LEASE', 'ADMIN'] });
  const { routes } = describeService(loadConfig({ NODE_ENV: 'test', CAP_KEY_ACTIVE: KEY }));
  const closed = routes.filter((route) => route.access !== 'none' && !route.capability);
  expect(closed.length).toBeGreaterThan(70);
  for (const { method, path, body } of closed) {
    const { status } = await call(method, path.replaceAll(/\{\w+\}/g, 'x'), { token: capability, ...(body && { body: {} }) });
    expect(`${method} ${path} ${status}`).toBe(`${method} ${path} 403`);
  }
  expect(routes.filter(({ path, capability }) => capability && !/^\/v1\/(?:state|leases|snapshots)\b/.test(path))).toEqual([]);
});

describe('validity', () => {
  test('only the payload that was minted is valid, even if another one is signed with the same key', async () => {
    const owner = await makeOwner(call);
    const other = await makeOwner(call);
    const { capability } = await minted(owner);
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
    expect(await Promise.all([capability, ...forged].map(isValid))).toEqual([true, ...forged.map(() => false)]);
  });

  test('a capability is accepted as a bearer token alone', async () => {
    const { capability } = await minted(await makeOwner(call));
    expect((await call('GET', '/v1/events', { key: capability })).status).toBe(401);
  });

  test('it expires', async () => {
    const { capability } = await minted(await makeOwner(call), { expires_in: 1 });
    await new Promise((resolve) => setTimeout(resolve, payloadOf(capability).exp * 1000 - Date.now() + 1));
    expect(await isValid(capability)).toBe(false);
  });

  test('it ends with a revocation, which only an admin or its minter can make', async () => {
    const owner = await makeOwner(call);
    const [mia, otto] = [await makeUser(call, owner, 'member', 'mia'), await makeUser(call, owner, 'member', 'otto')];
    const [one, two] = [await minted(mia), await minted(mia)];
    const revoke = async ({ jti }: { jti: string }, by: Person) => (await call('DELETE', `/v1/capabilities/${jti}`, by)).status;
    expect(await revoke(one, otto)).toBe(404);
    expect(await isValid(one.capability)).toBe(true);
    expect([await revoke(one, mia), await revoke(one, mia), await revoke(two, owner)]).toEqual([204, 404, 204]);
    expect([await isValid(one.capability), await isValid(two.capability)]).toEqual([false, false]);
  });

  test('it ends with the rights of the user who minted it', async () => {
    const owner = await makeOwner(call);
    const change = (user: Person, body: object) =>
      call('PATCH', `/auth/users/${user.user.user_id}`, { token: owner.token, body });
    const admin = await makeUser(call, owner, 'admin', 'anna');
    const [plain, powerful] = [await minted(admin), await minted(admin, { ops: ['ADMIN', 'GET'] })];
    const valid = async () => [await isValid(plain.capability), await isValid(powerful.capability)];
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
    const [first, second] = [await makeKey(member), await makeKey(member)];
    const [one, two] = [await minted({ key: first.api_key }), await minted({ key: second.api_key })];
    const valid = async () => [await isValid(one.capability), await isValid(two.capability)];
    expect(await valid()).toEqual([true, true]);
    await call('DELETE', `/auth/api-keys/${first.key_id}`, member);
    expect(await valid()).toEqual([false, true]);
    await call('PATCH', `/auth/users/${member.user.user_id}`, { token: owner.token, body: { disabled: true } });
    expect(await valid()).toEqual([false, false]);
  });

  test('outside its regions the answer is 451, also where the daemon has no region', async () => {
    const { capability } = await minted(await makeOwner(call), { regions: ['us-west-2'] });
    expect((await call('GET', '/v1/events', { token: capability })).status).toBe(451);
  });
});

test('the list shows an admin all capabilities, a member their own, a key those that it minted, and never the text', async () => {
  const owner = await makeOwner(call);
  const member = await makeUser(call, owner, 'member', 'mia');
  const key = await makeKey(member);
  const ids = [await minted(owner), await minted(member, { max_qps: 3 }), await minted({ key: key.api_key })].map(
    ({ jti }) => jti,
  );
  const list = async (by: { token?: string; key?: string }, query = '') =>
    (await call('GET', `/v1/capabilities${query}`, by)).body;
  const listed = async (by: { token?: string; key?: string }) => (await list(by)).data.map(({ jti }: { jti: string }) => jti);
  expect(await listed(owner)).toEqual(ids);
  expect(await listed(member)).toEqual(ids.slice(1));
  expect(await listed({ key: key.api_key })).toEqual(ids.slice(2));
  const { data, next_cursor } = await list(owner, '?limit=2');
  expect(data[1]).toEqual({
    jti: ids[1],
    kid: 'test-1',
    ns: ['agent://demo'],
    ops: ['GET', 'PUT'],
    regions: null,
    max_bytes: null,
    max_qps: 3,
    agent: null,
    created_by: member.user.user_id,
    created_with: null,
    created_at: expect.any(String),
    expires_at: expect.any(String),
    revoked_at: null,
  });
  expect((await list(owner, `?limit=2&cursor=${next_cursor}`)).data.map(({ jti }: { jti: string }) => jti)).toEqual(ids.slice(2));
});

test('minting and revoking are audited, without the namespaces', async () => {
  const owner = await makeOwner(call);
  const { jti } = await minted(owner, { agent: 'planner' });
  await call('DELETE', `/v1/capabilities/${jti}`, owner);
  const { data } = (await call('GET', '/v1/audit', owner)).body;
  const entries = data.filter(({ action }: { action: string }) => action.startsWith('capability.'));
  expect(entries.map(({ action, payload }: any) => [action, payload.about.jti, payload.about.ns])).toEqual([
    ['capability.revoked', jti, undefined],
    ['capability.minted', jti, undefined],
  ]);
  expect(entries[1].payload.about).toMatchObject({ ops: grant.ops, agent_id: 'planner' });
});

test('refusals are audited under the id of the capability, and under the claimed id if it is not valid', async () => {
  const owner = await makeOwner(call);
  const { capability, jti } = await minted(owner);
  expect([await isValid(capability), await isValid(sign({ ...payloadOf(capability), ns: '**' }))]).toEqual([true, false]);
  let refused: { status: number; payload: { principal_id?: string; principal_kind: string; claimed?: string } }[] = [];
  await eventually(async () => {
    const { data } = (await call('GET', '/v1/audit', owner)).body;
    refused = data.filter(({ action }: { action: string }) => action === 'refused');
    return refused.length === 2;
  }, 'two audit entries of refusals');
  const named = refused.map(({ status, payload: { principal_id, principal_kind, claimed } }) => [
    status,
    principal_kind,
    principal_id ?? claimed,
  ]);
  expect(named.sort()).toEqual([
    [401, 'unknown', jti],
    [403, 'capability', jti],
  ]);
});

test('in production without CAP_KEY_ACTIVE the routes answer 503 and no capability is valid', async () => {
  const bare = await startTestDaemon({ NODE_ENV: 'production', CAP_KEY_ACTIVE: '', BCRYPT_COST: '10', TRUST_PROXY_HOPS: '0' });
  try {
    const there = clientOf(bare.url);
    const owner = await makeOwner(there);
    const answers = [
      await there('POST', '/v1/capabilities', { token: owner.token, body: grant }),
      await there('GET', '/v1/capabilities', owner),
      await there('DELETE', '/v1/capabilities/jti_01m7zc9e8mzz664vjfj0emse1r', owner),
    ];
    expect(answers.map(({ status, headers }) => [status, headers.has('retry-after')])).toEqual([
      [503, true],
      [503, true],
      [503, true],
    ]);
    const { capability } = await minted(await makeOwner(call));
    expect((await there('GET', '/v1/events', { token: capability })).status).toBe(401);
  } finally {
    await bare.stop();
  }
});
