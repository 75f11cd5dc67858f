import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { type Call, clientOf, makeOwner, newTenantId, PASSWORD } from './client.ts';

let daemon: TestDaemon;
let call: Call;
beforeAll(async () => {
  daemon = await startTestDaemon();
  call = clientOf(daemon.url);
});
afterAll(() => daemon.stop());

const register = (over: object) => call('POST', '/auth/register', { body: { username: 'olga', password: PASSWORD, ...over } });
const login = (over: object) => call('POST', '/auth/login', { body: { username: 'olga', password: PASSWORD, ...over } });

describe('registration', () => {
  test('of a new tenant makes the user its owner and returns valid tokens', async () => {
    const tenant_id = newTenantId();
    const { status, body } = await register({ username: 'admin', password: 'SecurePass123!', tenant_id });
    expect(status).toBe(201);
    expect(body).toEqual({
      access_token: expect.any(String),
      refresh_token: expect.stringMatching(new RegExp(`^amr\\.${tenant_id}\\.ref_[0-9a-z]{26}\\.[\\w-]{43}$`)),
      token_type: 'Bearer',
      expires_in: 86_400,
      user: { user_id: expect.stringMatching(/^usr_/), tenant_id, username: 'admin', role: 'owner' },
    });
    const me = await call('GET', '/auth/me', { token: body.access_token });
    expect(me.status).toBe(200);
    expect(me.body).toMatchObject({
      tenant_id,
      kind: 'user',
      username: 'admin',
      role: 'owner',
      scopes: ['read', 'write', 'admin'],
      subject: 'admin',
      subjects: ['admin'],
      channels: null,
    });
  });

  test('by twenty racing clients makes one the owner, and the others get 403', async () => {
    const tenant_id = newTenantId();
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => register({ username: `racer${i}`, tenant_id })));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array(19).fill(403)]);
    const refusals = answers
      .filter(({ status }) => status === 403)
      .map(({ body: { request_id: _, ...rest } }) => JSON.stringify(rest));
    expect(new Set(refusals).size).toBe(1);
  });

  test('of a tenant id that differs from an existing one only by case returns 403', async () => {
    const { tenant_id } = await makeOwner(call);
    expect((await register({ tenant_id: tenant_id.toUpperCase() })).status).toBe(403);
  });

  test.each([
    ['too short', 'Sh0rt!pw9'],
    ['over 72 bytes', 'ä'.repeat(37)],
    ['the username', 'OlgaOlgaOlga'],
    ['the username and marks', 'olga-olga-olga!'],
    ['common', 'Password123'],
    ['one character', 'aaaaaaaaaaaa'],
    ['a short pattern', 'abcabcabcabc'],
  ])('a password that is %s is refused', async (_, password) => {
    const { status, body } = await register({ tenant_id: newTenantId(), password });
    expect(status).toBe(422);
    expect(body.errors[0].pointer).toBe('#/password');
    expect(JSON.stringify(body)).not.toContain(password);
  });

  test.each([['SecurePass123!'], ['Correct-horse-9-battery'], ['ünïcödé-päss'], ['x'.repeat(30) + 'yz'.repeat(21)]])(
    'the password %s is taken and logs in',
    async (password) => {
      const tenant_id = newTenantId();
      expect((await register({ tenant_id, password })).status).toBe(201);
      expect((await login({ tenant_id, password })).status).toBe(200);
      expect((await login({ tenant_id, password: `${password}x` })).status).toBe(401);
    },
  );

  test.each([['a.b'], ['-a'], [''], ['ä'], ['x'.repeat(64)], ['*'], ['../x']])(
    'the tenant id %j is refused',
    async (tenant_id) => {
      expect((await register({ tenant_id })).status).toBe(422);
    },
  );

  test.each([['*'], ['a b'], [''], ['a'.repeat(65)]])('the username %j is refused', async (username) => {
    expect((await register({ tenant_id: newTenantId(), username })).status).toBe(422);
  });

  test('with an unknown field returns 422', async () => {
    expect((await register({ tenant_id: newTenantId(), role: 'owner' })).status).toBe(422);
  });
});

describe('login', () => {
  test('returns 401 with the same body for every wrong combination', async () => {
    const { tenant_id } = await makeOwner(call);
    const wrong = [
      { tenant_id, password: 'not-the-password' },
      { tenant_id, username: 'nobody' },
      { tenant_id: newTenantId() },
      { tenant_id: 'no.tenant' },
      { tenant_id, username: "olga' or 1=1 --" },
    ];
    const answers = await Promise.all(wrong.map(login));
    expect(answers.map(({ status }) => status)).toEqual(wrong.map(() => 401));
    expect(new Set(answers.map(({ body: { request_id: _, ...rest } }) => JSON.stringify(rest))).size).toBe(1);
    expect(answers[0]!.headers.get('www-authenticate')).toMatch(/^Bearer/);
  });

  test('accepts the username in any case', async () => {
    const { tenant_id } = await makeOwner(call);
    expect((await login({ tenant_id, username: 'OLGA' })).status).toBe(200);
  });
});

describe('refresh', () => {
  const refresh = (refresh_token: string) => call('POST', '/auth/refresh', { body: { refresh_token } });

  test('returns a new token pair', async () => {
    const { refresh_token, user } = await makeOwner(call);
    const { status, body } = await refresh(refresh_token);
    expect(status).toBe(200);
    expect(body.user).toEqual(user);
    expect(body.refresh_token).not.toBe(refresh_token);
    expect((await call('GET', '/auth/me', { token: body.access_token })).status).toBe(200);
    expect((await refresh(body.refresh_token)).status).toBe(200);
  });

  test('in parallel returns the same valid successor to every caller', async () => {
    const { refresh_token } = await makeOwner(call);
    const answers = await Promise.all(Array.from({ length: 20 }, () => refresh(refresh_token)));
    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200));
    expect(new Set(answers.map(({ body }) => body.refresh_token)).size).toBe(1);
    expect((await refresh(answers[7]!.body.refresh_token)).status).toBe(200);
    for (const { body } of answers.slice(0, 3))
      expect((await call('GET', '/auth/me', { token: body.access_token })).status).toBe(200);
  });

  test.each([['amr.x.ref_0.y'], ['nonsense'], [`amr.acme.ref_00000000000000000000000000.${'a'.repeat(43)}`]])(
    'with %s is 401',
    async (token) => {
      expect((await refresh(token)).status).toBe(401);
    },
  );

  test('with a valid id and a wrong secret returns 401 and ends nothing', async () => {
    const { refresh_token, token } = await makeOwner(call);
    expect((await refresh(refresh_token.slice(0, -43) + 'A'.repeat(43))).status).toBe(401);
    expect((await call('GET', '/auth/me', { token })).status).toBe(200);
    expect((await refresh(refresh_token)).status).toBe(200);
  });

  test('with the name of another tenant in the token returns 401', async () => {
    const { refresh_token, tenant_id } = await makeOwner(call);
    const other = await makeOwner(call);
    expect((await refresh(refresh_token.replace(tenant_id, other.tenant_id))).status).toBe(401);
  });
});

describe('log-out', () => {
  test('ends the session at once, and returns 204 also for an ended session and an invalid token', async () => {
    const { refresh_token, token } = await makeOwner(call);
    const logout = (refresh_token: string) => call('POST', '/auth/logout', { body: { refresh_token } });
    expect((await call('GET', '/auth/me', { token })).status).toBe(200);
    expect((await logout(refresh_token)).status).toBe(204);
    expect((await call('GET', '/auth/me', { token })).status).toBe(401);
    expect((await call('POST', '/auth/refresh', { body: { refresh_token } })).status).toBe(401);
    expect((await logout(refresh_token)).status).toBe(204);
    expect((await logout('nonsense')).status).toBe(204);
  });
});
