import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AuditEntry } from '../../src/audit/schemas.ts';
import { features } from '../../src/features.ts';
import { type Client, message, newColleague, newName, newTenant, PASSWORD, send } from '../support/client.ts';
import { withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer, serverConnection, testOnServer } from '../support/database.ts';

const known = features.flatMap(({ audit = [] }) => audit);
const WINDOW_MS = 200;
let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon({ AUDIT_WINDOW_MS: String(WINDOW_MS) });
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

async function audit(query = '', client = alice): Promise<AuditEntry[]> {
  const { status, body } = await client.request('GET', `/v1/audit?order=asc&limit=1000${query}`);
  if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`);
  return body.data as AuditEntry[];
}
const actions = async (query = '', client = alice) => (await audit(query, client)).map(({ action }) => action);
const counted = () => new Promise((resolve) => setTimeout(resolve, 2.5 * WINDOW_MS));

/** Waits until the expected number of refusals is written. */
async function refusals(expected: number, client = alice): Promise<AuditEntry[]> {
  for (let tries = 0; ; tries += 1) {
    await counted();
    const found = await audit('&action=refused', client);
    if (tries === 10 || found.reduce((sum, { count }) => sum + count, 0) >= expected) return found;
  }
}

test('every admin write and every write under /auth declares its audit action', () => {
  const silent = daemon.routes.filter(
    ({ method, access, path, audit: action }) =>
      method !== 'GET' && (access === 'admin' || path.startsWith('/auth/')) && action === undefined,
  );
  expect(silent.map(({ operation }) => operation)).toEqual([]);
  const exempt = daemon.routes.filter(({ audit: action }) => action === false);
  expect(exempt.map(({ operation }) => operation)).toEqual(['refresh']);
  const unnamed = daemon.routes.filter(({ audit: action, access, tenantOf }) => action && access === 'none' && !tenantOf);
  expect(unnamed.map(({ operation }) => operation)).toEqual([]);
});

test('every action is declared by a feature and documented in docs/audit.md', async () => {
  const ofRoutes = daemon.routes.flatMap(({ audit: action }) => action || []);
  expect(ofRoutes.filter((action) => !known.some((one) => one === action))).toEqual([]);
  const page = readFileSync(join(import.meta.dirname, '../../docs/audit.md'), 'utf8');
  const documented = [...page.matchAll(/^\| (`[a-z_.`, ]+`) \|/gm)].flatMap(([, names]) => names!.match(/[a-z_.]+/g)!);
  expect(documented.toSorted()).toEqual([...known].toSorted());
  const { status, body } = await alice.request('GET', '/v1/audit?action=refusd');
  expect([status, body.errors[0].parameter, body.errors[0].detail]).toEqual([422, 'action', expect.stringContaining('refused')]);
});

test('every entry names the ids that the operation concerned', async () => {
  const job = async (path: string, body?: unknown) => (await alice.request('POST', path, { body })).body.job_id as string;
  const { webhook_id } = (await alice.request('POST', '/v1/webhooks', { body: { url: 'https://hooks.example/x' } })).body;
  const seen = await alice.request('POST', '/v1/erasures', { body: { session_id: 's9', dry_run: true } });
  const erased = await job('/v1/erasures', { session_id: 's9' });
  await alice.request('PUT', '/v1/retention', { body: { rules: [{ older_than_days: 9 }] } });
  const retained = await job('/v1/retention/runs');
  const repaired = await job('/v1/consistency/repair');
  await alice.request('GET', '/v1/export');
  const { kind, subject_hash } = seen.body;
  expect((await audit()).slice(1).map(({ action, payload }) => [action, payload!.about])).toEqual([
    ['webhook.created', { webhook_id }],
    ['erasure.previewed', { kind, subject_hash }],
    ['erasure.begun', { job_id: erased, kind, subject_hash }],
    ['retention.changed', { version: 1, rules: 1 }],
    ['retention.begun', { job_id: retained }],
    ['consistency.repair_begun', { job_id: repaired }],
    ['tenant.exported', { tenant_id: alice.tenant_id }],
  ]);
});

test('administrative operations are audited with principal, operation and address, and without secrets', async () => {
  const bob = await newColleague(alice);
  const key = await alice.request('POST', '/auth/api-keys', { body: { name: 'hunter2', role: 'member', scopes: ['read'] } });
  await alice.request('PATCH', `/auth/users/${bob.user_id}`, { body: { role: 'reader' } });
  const reset = await alice.request('POST', `/auth/users/${bob.user_id}/password-reset`);
  await send(daemon.url, 'POST', '/auth/password-reset', { body: { token: reset.body.token, new_password: `${PASSWORD} too` } });
  await alice.request('DELETE', `/auth/api-keys/${key.body.key_id}`);
  await alice.request('PATCH', '/v1/tenant', { body: { settings: { contact_email: 'who@example.com' } } });
  await alice.request('PUT', '/auth/me/password', { body: { current_password: PASSWORD, new_password: `${PASSWORD} 3` } });
  await send(daemon.url, 'POST', '/auth/logout', { body: { refresh_token: alice.refresh_token } });
  const again = await send<{ access_token: string }>(daemon.url, 'POST', '/auth/login', {
    body: { tenant_id: alice.tenant_id, username: 'alice', password: `${PASSWORD} 3` },
  });
  const entries = (await send<{ data: AuditEntry[] }>(daemon.url, 'GET', '/v1/audit?order=asc', {}, again.body.access_token)).body
    .data;
  expect(entries.map(({ action }) => action)).toEqual([
    'user.registered',
    'invite.made',
    'user.registered',
    'key.made',
    'user.changed',
    'user.reset_made',
    'password.reset',
    'key.revoked',
    'tenant.changed',
    'password.changed',
    'session.ended',
    'session.begun',
  ]);
  expect(entries.map(({ seq }) => seq)).toEqual(entries.map((_, i) => i + 1));
  expect(entries[4]).toMatchObject({
    route: 'PATCH /auth/users/{user_id}',
    status: 200,
    principal_id: alice.user_id,
    payload: { username: 'alice', address: '127.0.0.1', about: { user_id: bob.user_id, role: 'reader', disabled: false } },
  });
  const text = JSON.stringify(entries);
  const secrets = [PASSWORD, key.body.api_key, reset.body.token, alice.token, alice.refresh_token, 'hunter2', 'who@example.com'];
  expect(secrets.filter((secret) => text.includes(secret))).toEqual([]);
});

test('ordinary requests leave no entry, and entries leave no gap in the seqs of the log', async () => {
  for (let i = 0; i < 3; i += 1) {
    await alice.request('POST', '/v1/events', { body: message(`m${i}`) });
    await alice.request('POST', '/auth/invites', { body: { role: 'member' } });
  }
  const { body } = await alice.request('GET', '/v1/events');
  expect(body.data.map(({ seq }: { seq: number }) => seq)).toEqual([1, 2, 3]);
  expect(await actions()).toEqual(['user.registered', 'invite.made', 'invite.made', 'invite.made']);
});

test('a member gets 403, with any filter', async () => {
  const bob = await newColleague(alice);
  for (const query of ['', '?action=refused', `?principal=${bob.user_id}`])
    expect((await bob.request('GET', `/v1/audit${query}`)).status).toBe(403);
});

test('the list filters by action, principal and time, and pages in both directions', async () => {
  const bob = await newColleague(alice, 'bob', 'admin');
  for (let i = 0; i < 3; i += 1) await bob.request('POST', '/auth/invites', { body: { role: 'member' } });
  expect(await actions('&action=invite.made')).toHaveLength(4);
  expect(await actions(`&principal=${bob.user_id}`)).toEqual(['user.registered', 'invite.made', 'invite.made', 'invite.made']);
  const all = await audit();
  expect(await audit(`&since=${all[3]!.at}&until=${all[4]!.at}`)).toEqual(
    all.filter(({ at }) => at >= all[3]!.at && at < all[4]!.at),
  );
  const pages: number[] = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const page: Awaited<ReturnType<Client['request']>> & { body: any } = await alice.request(
      'GET',
      `/v1/audit?limit=2${cursor && `&cursor=${cursor}`}`,
    );
    pages.push(...page.body.data.map(({ seq }: AuditEntry) => seq));
    cursor = page.body.next_cursor;
  }
  expect(pages).toEqual(all.map(({ seq }) => seq).reverse());
});

test('a thousand refusals of one principal are aggregated into few entries', async () => {
  const bob = await newColleague(alice);
  for (let i = 0; i < 10; i += 1)
    await Promise.all(Array.from({ length: 100 }, () => bob.request('GET', i % 2 ? '/auth/users' : '/v1/audit')));
  const found = await refusals(1000);
  expect(found.reduce((sum, { count }) => sum + count, 0)).toBe(1000);
  // two per window; a slow machine takes more windows
  expect(found.length).toBeLessThan(250);
  expect(new Set(found.map(({ route, status, principal_id }) => `${route} ${status} ${principal_id}`))).toEqual(
    new Set([`GET /auth/users 403 ${bob.user_id}`, `GET /v1/audit 403 ${bob.user_id}`]),
  );
});

test('refusals of an erased person, before and after the erasure, name nobody', async () => {
  const carol = await newColleague(alice, 'carol');
  await carol.request('GET', '/v1/audit');
  const { job_id } = (await alice.request('POST', '/v1/erasures', { body: { user_id: 'carol' } })).body;
  await carol.request('GET', '/v1/audit');
  while (!(await alice.request('GET', `/v1/jobs/${job_id}`)).body.finished_at) await counted();
  await carol.request('GET', '/v1/audit');
  await counted();
  const entries = await audit();
  expect(entries.filter(({ action }) => action === 'refused').reduce((sum, { count }) => sum + count, 0)).toBe(3);
  expect(JSON.stringify(entries)).not.toMatch(new RegExp(`${carol.user_id}|carol`));
});

test('wrong passwords, revoked keys and forged tokens are audited in the tenant that they name, if it exists', async () => {
  const body = { tenant_id: alice.tenant_id, username: 'my secret typed as a name', password: 'wrong password 1' };
  for (let i = 0; i < 3; i += 1) await send(daemon.url, 'POST', '/auth/login', { body });
  const key = await alice.request('POST', '/auth/api-keys', { body: { name: 'k', role: 'member', scopes: ['read'] } });
  await alice.request('DELETE', `/auth/api-keys/${key.body.key_id}`);
  expect((await send(daemon.url, 'GET', '/v1/events', { headers: { 'x-api-key': key.body.api_key } })).status).toBe(401);
  expect((await send(daemon.url, 'GET', '/v1/usage', {}, `${alice.token.slice(0, -2)}AA`)).status).toBe(401);
  const nobody = { ...body, tenant_id: newName('nobody') };
  expect((await send(daemon.url, 'POST', '/auth/login', { body: nobody })).status).toBe(401);
  const found = await refusals(5);
  const sums = new Map<string, number>();
  for (const { route, status, count } of found) sums.set(`${route} ${status}`, (sums.get(`${route} ${status}`) ?? 0) + count);
  expect(Object.fromEntries(sums)).toEqual({ 'POST /auth/login 401': 3, 'GET /v1/events 401': 1, 'GET /v1/usage 401': 1 });
  expect(found.find(({ route }) => route === 'GET /v1/events')!.payload).toMatchObject({ claimed: key.body.key_id });
  expect(JSON.stringify(found)).not.toContain('typed as a name');
});

describeOnServer('it supports only one daemon', () => {
  test('shutdown writes the counted refusals, and another daemon continues the same stream', async () => {
    const second = await startTestDaemon({ AUDIT_WINDOW_MS: '3600000' }, daemon.env);
    const bob = await newColleague(alice);
    const elsewhere = { ...bob, url: second.url };
    await Promise.all(Array.from({ length: 20 }, () => send(second.url, 'GET', '/auth/users', {}, elsewhere.token)));
    await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        send(i % 2 ? second.url : daemon.url, 'POST', '/auth/invites', { body: { role: 'member' } }, alice.token),
      ),
    );
    await second.stop();
    const entries = await audit();
    expect(entries.map(({ seq }) => seq)).toEqual(entries.map((_, i) => i + 1));
    expect(entries.filter(({ action }) => action === 'invite.made')).toHaveLength(21);
    expect(entries.find(({ action }) => action === 'refused')).toMatchObject({ count: 20, principal_id: bob.user_id });
  });
});

testOnServer('a second connection revokes a privilege')(
  'while audit entries cannot be written, administrative operations return 503, and the entry of an operation in flight is written later',
  async () => {
    const asSuperuser = (text: string) =>
      withClient({ ...serverConnection(), database: daemon.env.PGDATABASE! }, (client) => client.query(text));
    const invite = () => alice.request('POST', '/auth/invites', { body: { role: 'member' } });
    await asSuperuser('revoke insert on audit_entries from agent_memory_app');
    try {
      const first = await invite();
      expect([first.status, first.body.detail]).toEqual([
        503,
        'The operation was performed, but its audit entry has not been written yet.',
      ]);
      const second = await invite();
      expect([second.status, second.body.detail]).toEqual([
        503,
        'Audit entries cannot be written at the moment, so the operation was not performed.',
      ]);
      expect((await alice.request('POST', '/v1/events', { body: message('still works') })).status).toBe(201);
    } finally {
      await asSuperuser('grant insert on audit_entries to agent_memory_app');
    }
    for (let tries = 0; tries < 100 && (await actions()).length < 2; tries += 1) await counted();
    expect((await invite()).status).toBe(201);
    expect(await actions()).toEqual(['user.registered', 'invite.made', 'invite.made']);
    expect((await alice.request('GET', '/auth/invites')).body.data).toHaveLength(2);
  },
  60_000,
);
