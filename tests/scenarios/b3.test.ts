import { loadConfig } from '../../src/config.ts';
import { openDatabase } from '../../src/db/index.ts';
import { startJob } from '../../src/jobs/index.ts';
import { createLogger } from '../../src/log.ts';
import { erase, waitForJob } from '../erasure/support.ts';
import { type Client, newColleague, newTenant, PASSWORD, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { testOnServer } from '../support/database.ts';
import { readEvents } from '../support/sse.ts';

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon({ CREDENTIAL_TTL_MS: '1' });
});
afterAll(() => daemon.stop());

/** Events that can happen to an admin who has issued credentials. */
const fates: Record<string, (owner: Client, maker: Client) => Promise<unknown>> = {
  disabled: (owner, maker) => owner.request('PATCH', `/auth/users/${maker.user_id}`, { body: { disabled: true } }),
  demoted: (owner, maker) => owner.request('PATCH', `/auth/users/${maker.user_id}`, { body: { role: 'member' } }),
  deleted: (owner, maker) => erase(owner, { user_id: maker.username }),
};

const register = (tenant_id: string, username: string, invite: string) =>
  send(daemon.url, 'POST', '/auth/register', { body: { username, password: PASSWORD, tenant_id, invite } });

/** Credentials that an admin issues: each function creates one and returns a function that checks whether it still works. */
const kinds: Record<string, (maker: Client, other: Client) => Promise<() => Promise<boolean>>> = {
  'a password reset': async (maker, other) => {
    const { token } = (await maker.request('POST', `/auth/users/${other.user_id}/password-reset`)).body;
    return async () => {
      const body = { token, new_password: 'another good passphrase' };
      return (await send(daemon.url, 'POST', '/auth/password-reset', { body })).status === 204;
    };
  },
  'an invite of an admin': async (maker) => {
    const { invite } = (await maker.request('POST', '/auth/invites', { body: { role: 'admin' } })).body;
    return async () => (await register(maker.tenant_id, 'newcomer', invite)).status === 201;
  },
  'an invite of a member': async (maker) => {
    const { invite } = (await maker.request('POST', '/auth/invites', { body: { role: 'member' } })).body;
    return async () => (await register(maker.tenant_id, 'newcomer', invite)).status === 201;
  },
  'a key of an admin': async (maker) => {
    const body = { name: 'k', role: 'admin', scopes: ['read', 'write', 'admin'] };
    const { api_key } = (await maker.request('POST', '/auth/api-keys', { body })).body;
    return async () => (await send(daemon.url, 'GET', '/auth/users', { headers: { 'x-api-key': api_key } })).status === 200;
  },
  'a key for all subjects': async (maker) => {
    const body = { name: 'k', role: 'member', scopes: ['read', 'write'], user_id: '*' };
    const { api_key } = (await maker.request('POST', '/auth/api-keys', { body })).body;
    return async () => (await send(daemon.url, 'GET', '/auth/me', { headers: { 'x-api-key': api_key } })).status === 200;
  },
};

describe.each(Object.keys(fates))('B3 credentials issued by an admin end with the admin: %s', (fate) => {
  test.each(Object.keys(kinds))('%s no longer works', async (kind) => {
    const owner = await newTenant(daemon.url);
    const maker = await newColleague(owner, 'maker', 'admin');
    const other = await newColleague(owner, 'other', 'admin');
    const works = await kinds[kind]!(maker, other);
    await fates[fate]!(owner, maker);
    expect(await works()).toBe(false);
  });
});

test.each(Object.keys(kinds))('B3 %s works while its issuer is an admin', async (kind) => {
  const owner = await newTenant(daemon.url);
  const maker = await newColleague(owner, 'maker', 'admin');
  const works = await kinds[kind]!(maker, await newColleague(owner, 'other', 'admin'));
  expect(await works()).toBe(true);
});

test('B3 a password reset for a user who has a higher role than its issuer since is rejected like an invalid one', async () => {
  const owner = await newTenant(daemon.url);
  const maker = await newColleague(owner, 'maker', 'admin');
  const other = await newColleague(owner, 'other');
  const works = await kinds['a password reset']!(maker, other);
  await owner.request('PATCH', `/auth/users/${other.user_id}`, { body: { role: 'owner' } });
  expect(await works()).toBe(false);
});

test('B3 open streams end with the credential that opened them', async () => {
  const ended = Object.values(fates).map(async (befall) => {
    const owner = await newTenant(daemon.url);
    const maker = await newColleague(owner, 'maker', 'admin');
    const body = { name: 'k', role: 'member', scopes: ['read'], user_id: '*' };
    const { api_key } = (await maker.request('POST', '/auth/api-keys', { body })).body;
    const headers = { accept: 'text/event-stream', 'x-api-key': api_key };
    const stream = await fetch(`${daemon.url}/v1/events?user_id=maker`, { headers });
    expect(stream.status).toBe(200);
    await befall(owner, maker);
    // until the daemon closes it
    for await (const _ of readEvents(stream));
  });
  await Promise.all(ended);
}, 120_000);

testOnServer('a second connection queues the job')(
  'B3 a job ends with the authority of who began it',
  async () => {
    const database = await openDatabase(loadConfig({ ...daemon.env, NODE_ENV: 'test' }), createLogger('silent'));
    try {
      const owner = await newTenant(daemon.url);
      const job = async (started_by: string) => {
        const { job_id } = await startJob(database.tenants(owner.tenant_id), 'consistency', {}, started_by);
        return waitForJob(owner, job_id);
      };
      expect((await job(owner.user_id)).state).toBe('done');
      for (const [fate, befall] of Object.entries(fates)) {
        const maker = await newColleague(owner, `maker-${fate}`, 'admin');
        await befall(owner, maker);
        const { state, problem } = await job(maker.user_id);
        expect([fate, state, problem.status]).toEqual([fate, 'failed', 403]);
      }
    } finally {
      await database.close();
    }
  },
  120_000,
);
