import { FREE_PER_ACCOUNT } from '../../src/auth/throttle.ts';
import { withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer, onEmbedded, serverConnection, testOnServer } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { type Call, clientOf, expectThrottled, makeOwner, makeUser } from './client.ts';

const TTL_MS = 1000;
let first: TestDaemon;
let call: Call;
beforeAll(async () => {
  first = await startTestDaemon({ CREDENTIAL_TTL_MS: String(TTL_MS) });
  call = clientOf(first.url);
});
afterAll(() => first.stop());

const refresh = (refresh_token: string, by = call) => by('POST', '/auth/refresh', { body: { refresh_token } });
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Ends the grace period of used tokens (GRACE_S). The embedded engine has no second connection, so the test waits there. */
async function endGrace(tenant_id: string): Promise<void> {
  if (onEmbedded()) return void (await sleep(10_200));
  await withClient({ ...serverConnection(), database: first.env.PGDATABASE! }, (client) =>
    client.query(`update refresh_tokens set rotated_at = rotated_at - interval '11 seconds' where tenant_id = $1`, [tenant_id]),
  );
}

test('reuse of a refresh token after its grace period ends the session, although the request itself is rejected', async () => {
  const { tenant_id, refresh_token } = await makeOwner(call);
  const next = (await refresh(refresh_token)).body;
  expect((await call('GET', '/auth/me', { token: next.access_token })).status).toBe(200);
  await endGrace(tenant_id);
  expect((await refresh(refresh_token)).status).toBe(401);
  expect((await call('GET', '/auth/me', { token: next.access_token })).status).toBe(401);
  expect((await refresh(next.refresh_token)).status).toBe(401);
});

/** Only a server lets two daemons share a database. */
const onTwoDaemons = test.each<[string, (owner: Person, member: Person, key: Key) => Promise<unknown>]>([
  ['a log-out', (_, { refresh_token }) => call('POST', '/auth/logout', { body: { refresh_token } })],
  ['a disabled user', ({ token }, { user }) => call('PATCH', `/auth/users/${user.user_id}`, { token, body: { disabled: true } })],
  ['a deleted tenant', ({ token, tenant_id }) => call('DELETE', '/v1/tenant', { token, body: { confirm: tenant_id } })],
]);
type Person = Awaited<ReturnType<typeof makeUser>>;
interface Key {
  key_id: string;
  api_key: string;
}

async function twoDaemons(work: (elsewhere: Call) => Promise<void>) {
  const second = await startTestDaemon({ CREDENTIAL_TTL_MS: String(TTL_MS) }, first.env);
  await work(clientOf(second.url)).finally(() => second.stop());
}

async function people() {
  const owner = await makeOwner(call);
  const member = await makeUser(call, owner, 'member', 'mia');
  const key: Key = (
    await call('POST', '/auth/api-keys', { token: member.token, body: { name: 'k', role: 'member', scopes: ['read'] } })
  ).body;
  return { owner, member, key };
}

describeOnServer('it supports only one daemon', () => {
  onTwoDaemons('another daemon applies %s within CREDENTIAL_TTL_MS', async (_, revoke) =>
    twoDaemons(async (elsewhere) => {
      const { owner, member, key } = await people();
      const seen = async () => (await elsewhere('GET', '/auth/me', { token: member.token })).status;
      expect(await seen()).toBe(200);
      await revoke(owner, member, key);
      expect((await call('GET', '/auth/me', { token: member.token })).status).toBe(401);
      await sleep(TTL_MS + 50);
      expect(await seen()).toBe(401);
    }),
  );
});

testOnServer('it supports only one daemon')(
  'another daemon applies a revoked key, a changed role and a new password, and accepts a new token at once',
  async () =>
    twoDaemons(async (elsewhere) => {
      const { owner, member, key } = await people();
      const meBy = (token: string) => elsewhere('GET', '/auth/me', { token });
      expect((await elsewhere('GET', '/auth/me', { key: key.api_key })).status).toBe(200);
      expect((await meBy(member.token)).body.role).toBe('member');
      await call('DELETE', `/auth/api-keys/${key.key_id}`, { token: member.token });
      await call('PATCH', `/auth/users/${member.user.user_id}`, { token: owner.token, body: { role: 'reader' } });
      await sleep(TTL_MS + 50);
      expect((await elsewhere('GET', '/auth/me', { key: key.api_key })).status).toBe(401);
      expect((await meBy(member.token)).body.role).toBe('reader');
      const { token } = (await call('POST', `/auth/users/${member.user.user_id}/password-reset`, { token: owner.token })).body;
      await call('POST', '/auth/password-reset', { body: { token, new_password: 'A-whole-new-word-4' } });
      const body = { tenant_id: owner.tenant_id, username: 'mia', password: 'A-whole-new-word-4' };
      const fresh = (await call('POST', '/auth/login', { body })).body;
      expect((await meBy(fresh.access_token)).status).toBe(200);
      await sleep(TTL_MS + 50);
      expect((await meBy(member.token)).status).toBe(401);
    }),
);

testOnServer('it has one daemon')('daemons share the back-off, refresh each other’s sessions and join races as one', async () =>
  twoDaemons(async (elsewhere) => {
    const { tenant_id, refresh_token } = await makeOwner(call);
    const both = (i: number) => (i % 2 === 0 ? call : elsewhere);
    const refreshed = await Promise.all(Array.from({ length: 10 }, (_, i) => refresh(refresh_token, both(i))));
    expect(new Set(refreshed.map(({ body }) => body.refresh_token)).size).toBe(1);
    const guesses = await Promise.all(
      Array.from({ length: 30 }, (_, i) =>
        both(i)('POST', '/auth/login', { body: { tenant_id, username: 'olga', password: `guess-number-${i}` } }),
      ),
    );
    expectThrottled(guesses, FREE_PER_ACCOUNT);
    // each further guess lengthens the backoff, so each daemon soon rejects what the other counted
    for (const daemon of [call, elsewhere])
      await eventually(
        async () =>
          (await daemon('POST', '/auth/login', { body: { tenant_id, username: 'olga', password: 'still-not-it-1' } })).status ===
          429,
        'a guess is refused',
      );
  }),
);
