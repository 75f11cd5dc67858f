import { failedChecks } from '../export/file.ts';
import { done, type Row } from '../retention/support.ts';
import { get, keysOf, list, NAMESPACE, put } from '../state/client.ts';
import { type Client, newColleague, newTenant, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { diff, fork, restore, restored, snap } from './support.ts';

// The objects that restores, comparisons and forks of a credential cover.

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

test('a restore, diff and fork cover only what the caller can see', async () => {
  const bob = await newColleague(alice, 'bob');
  await put(alice, 'mine', { body: 1, channel: 'private' });
  await put(bob, 'his', { body: 1, channel: 'private' });
  await put(alice, 'shared', { body: 1, tags: { a: 'b' }, project_id: 'p1' });
  await snap(alice, 's');
  for (const [client, key] of [
    [alice, 'mine'],
    [bob, 'his'],
    [alice, 'shared'],
  ] as const)
    await put(client, key, { body: 2, tags: { a: 'b' } });
  expect(keysOf({ data: await diff(bob, 's') })).toEqual(['his', 'shared']);
  expect(keysOf({ data: await diff(alice, 's') })).toEqual(['mine', 'shared']);
  expect(keysOf({ data: await diff(alice, 's', '?all_users=true') })).toEqual(['his', 'mine', 'shared']);
  expect((await restore(bob, 's')).status).toBe(403);
  expect((await fork(bob, 'copy')).body).toMatchObject({ copied: 2 });
  expect((await get(bob, 'shared', '', 'copy')).body).toMatchObject({
    body: 2,
    version: 1,
    tags: { a: 'b' },
    channel: 'team',
    project_id: 'p1',
  });
  expect((await get(bob, 'his', '', 'copy')).body).toMatchObject({ body: 2, channel: 'private', user_id: 'bob' });
  expect(keysOf(await list(alice, '?all_users=true', 'copy'))).toEqual(['his', 'shared']);
  expect(await restored(bob, 's', { namespace: NAMESPACE })).toMatchObject({ restored: 2, deleted: 0, unchanged: 0 });
  expect((await get(alice, 'mine')).body.body).toBe(2);
  expect(await restored(alice, 's', { namespace: NAMESPACE })).toMatchObject({ restored: 1, deleted: 0, unchanged: 2 });
  expect((await get(alice, 'mine')).body.body).toBe(1);
  expect(await failedChecks(alice)).toEqual([]);
});

test('a key for some channels cannot restore or fork objects of others, and a key for all subjects names a user', async () => {
  await put(alice, 'a', { body: 1 });
  await snap(alice, 's');
  await put(alice, 'a', { body: 2 });
  const keyOf = async (more: Row) =>
    (await done(alice, 'POST', '/auth/api-keys', { name: 'k', role: 'member', scopes: ['read', 'write'], ...more })).api_key;
  const ask = (key: string, path: string, body: Row) =>
    send<Row>(daemon.url, 'POST', path, { body, headers: { 'x-api-key': key } });
  const narrow = await keyOf({ channels: ['private'] });
  const forking = `/v1/state/${encodeURIComponent(NAMESPACE)}/fork`;
  expect((await ask(narrow, '/v1/snapshots/s/restore', { namespace: NAMESPACE })).status).toBe(403);
  expect((await ask(narrow, forking, { to: 'copy' })).status).toBe(403);
  expect((await get(alice, 'a')).body.body).toBe(2);
  const wide = await keyOf({ user_id: '*' });
  expect((await ask(wide, forking, { to: 'copy' })).status).toBe(422);
  expect((await ask(wide, forking, { to: 'copy', user_id: 'bob' })).body).toMatchObject({ copied: 1 });
});

test('a capability for ADMIN restores, compares and forks its namespaces only', async () => {
  await put(alice, 'a', { body: 1 });
  await snap(alice, 's');
  await put(alice, 'a', { body: 2 });
  const capabilityOf = async (ops: string[]): Promise<string> =>
    (await done(alice, 'POST', '/v1/capabilities', { ns: NAMESPACE, ops, expires_in: 600 })).capability;
  const ask = (capability: string, method: string, path: string, body?: Row) =>
    send<Row>(daemon.url, method, path, { body, headers: { authorization: `Bearer ${capability}` } });
  const admin = await capabilityOf(['ADMIN']);
  const forking = `/v1/state/${encodeURIComponent(NAMESPACE)}/fork`;
  const within = `?namespace=${encodeURIComponent(NAMESPACE)}`;
  const statuses = async (capability: string) => [
    (await ask(capability, 'GET', `/v1/snapshots/s/diff${within}`)).status,
    (await ask(capability, 'GET', '/v1/snapshots/s/diff')).status,
    (await ask(capability, 'POST', forking, { to: `${NAMESPACE}/copy` })).status,
    (await ask(capability, 'POST', forking, { to: 'elsewhere' })).status,
    (await ask(capability, 'POST', '/v1/snapshots/s/restore', { namespace: NAMESPACE })).status,
    (await ask(capability, 'POST', '/v1/snapshots/s/restore')).status,
    (await ask(capability, 'POST', '/v1/state/restore', { at: 's', namespace: 'elsewhere' })).status,
  ];
  expect(await statuses(await capabilityOf(['PUT', 'GET', 'DELETE']))).toEqual([403, 403, 403, 403, 403, 403, 403]);
  expect(await statuses(admin)).toEqual([200, 403, 201, 403, 200, 403, 403]);
  expect((await get(alice, 'a')).body.body).toBe(1);
});
