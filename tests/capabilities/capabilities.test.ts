import { loadConfig } from '../../src/config.ts';
import { describeService } from '../../src/wiring.ts';
import { type Call, clientOf, makeOwner, makeUser } from '../auth/client.ts';
import { type TestConnection, withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer } from '../support/database.ts';
import { testEngine } from '../support/engine.ts';
import { eventually } from '../support/eventually.ts';
import { grant, isValid, KEY, makeKey, mint, minted, payloadOf, settings, sign } from './support.ts';

// Minting, listing and auditing capabilities.

let daemon: TestDaemon;
let call: Call;
beforeAll(async () => {
  daemon = await startTestDaemon(settings);
  call = clientOf(daemon.url);
});
afterAll(() => daemon.stop());

type Person = Awaited<ReturnType<typeof makeOwner>>;

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
    const { status, body } = await mint(call, member, restrictions);
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
    const { status, body } = await mint(call, owner, more);
    expect([status, body.errors[0].pointer]).toEqual([422, pointer]);
  });

  test('namespaces that make the capability too long for a header are rejected with 422', async () => {
    const long = Array.from({ length: 16 }, (_, i) => `${i}${'ß'.repeat(250)}`);
    expect((await mint(call, owner, { ns: long })).status).toBe(422);
  });

  test('nobody permits more than they may do', async () => {
    const reader = await makeUser(call, owner, 'reader', 'rita');
    const key = await makeKey(call, member);
    const readKey = await makeKey(call, member, { scopes: ['read'] });
    const weakAdminKey = await makeKey(call, owner, { role: 'admin', scopes: ['read', 'write'] });
    const adminKey = await makeKey(call, owner, { role: 'admin', scopes: ['read', 'write', 'admin'] });
    const admin = { ops: ['ADMIN'] };
    const statuses = await Promise.all(
      [
        mint(call, reader, { ops: ['GET'] }),
        mint(call, { key: readKey.api_key }, { ops: ['GET'] }),
        mint(call, member, admin),
        mint(call, { key: key.api_key }, admin),
        mint(call, { key: weakAdminKey.api_key }, admin),
        mint(call, { key: key.api_key }),
        mint(call, { key: adminKey.api_key }, admin),
        mint(call, owner, admin),
      ].map(async (answer) => (await answer).status),
    );
    expect(statuses).toEqual([403, 403, 403, 403, 403, 201, 201, 201]);
  });

  test('a key cannot mint a capability that outlives it', async () => {
    const key = await makeKey(call, member, { expires_at: new Date(Date.now() + 300_000).toISOString() });
    const statuses = await Promise.all(
      [301, 200].map(async (expires_in) => (await mint(call, { key: key.api_key }, { expires_in })).status),
    );
    expect(statuses).toEqual([403, 201]);
  });

  test('a key that acts as one agent mints for that agent alone', async () => {
    const key = await makeKey(call, member, { agent_id: 'planner' });
    expect((await mint(call, { key: key.api_key }, { agent: 'coder' })).status).toBe(403);
    const { capability } = await minted(call, { key: key.api_key });
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
  const { capability } = await minted(call, owner, { ns: '**', ops: ['PUT', 'GET', 'DELETE', 'WATCH', 'LEASE', 'ADMIN'] });
  const { routes } = describeService(loadConfig({ NODE_ENV: 'test', CAP_KEY_ACTIVE: KEY }));
  const closed = routes.filter((route) => route.access !== 'none' && !route.capability);
  expect(closed.length).toBeGreaterThan(70);
  for (const { method, path, body } of closed) {
    const { status } = await call(method, path.replaceAll(/\{\w+\}/g, 'x'), { token: capability, ...(body && { body: {} }) });
    expect(`${method} ${path} ${status}`).toBe(`${method} ${path} 403`);
  }
  expect(routes.filter(({ path, capability }) => capability && !/^\/v1\/(?:state|leases|snapshots)\b/.test(path))).toEqual([]);
});

test('the list shows an admin all capabilities, a member their own, a key those that it minted, and never the text', async () => {
  const owner = await makeOwner(call);
  const member = await makeUser(call, owner, 'member', 'mia');
  const key = await makeKey(call, member);
  const ids = [
    await minted(call, owner),
    await minted(call, member, { max_qps: 3 }),
    await minted(call, { key: key.api_key }),
  ].map(({ jti }) => jti);
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
  const { jti } = await minted(call, owner, { agent: 'planner' });
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
  const { capability, jti } = await minted(call, owner);
  expect([await isValid(call, capability), await isValid(call, sign({ ...payloadOf(capability), ns: '**' }))]).toEqual([
    true,
    false,
  ]);
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
    const { capability } = await minted(call, await makeOwner(call));
    expect((await there('GET', '/v1/events', { token: capability })).status).toBe(401);
  } finally {
    await bare.stop();
  }
});

describeOnServer('a user with many capabilities', () => {
  const sql = async (text: string, values: unknown[]) => {
    const engine = testEngine();
    if (engine.kind !== 'postgres') throw new Error('a second connection is required');
    const connection: TestConnection = { ...engine.cluster.admin, database: daemon.env.PGDATABASE! };
    return withClient(connection, async (client) => (await client.query(text, values)).rows);
  };
  const multiply = (jti: string, name: string, count: number, ends_in: string) =>
    sql(
      `insert into capabilities (tenant_id, jti, kid, digest, ns, ops, created_by, expires_at)
       select tenant_id, $2 || n, kid, digest, ns, ops, created_by, now() + $4::interval - interval '1 ms' * n
       from capabilities, generate_series(1, $3::int) n
       where jti = $1`,
      [jti, name, count, ends_in],
    );

  test('the oldest ended ones are deleted, and valid ones are limited for each user', async () => {
    const owner = await makeOwner(call);
    const member = await makeUser(call, owner, 'member', 'mia');
    const { jti } = await minted(call, member);
    await multiply(jti, 'jti_ended', 1_005, '-1 minute');
    await multiply(jti, 'jti_valid', 998, '1 hour');
    expect((await mint(call, member)).status).toBe(201);
    const ended = `select jti from capabilities where tenant_id = $1 and expires_at < now() order by expires_at limit 1`;
    expect(await sql(ended, [owner.tenant_id])).toEqual([{ jti: 'jti_ended1000' }]);
    expect([(await mint(call, member)).status, (await mint(call, owner)).status]).toEqual([409, 201]);
    expect((await call('DELETE', `/v1/capabilities/${jti}`, { token: member.token })).status).toBe(204);
    expect((await mint(call, member)).status).toBe(201);
  });
});
