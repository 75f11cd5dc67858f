import { failedChecks } from '../export/file.ts';
import { snap, trimBefore } from '../snapshots/support.ts';
import { type Client, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { del, get, put } from './client.ts';

// Keys of objects that a trim removes.

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

test('a trim removes the keys of deleted objects; versions continue above theirs, and other keys stay', async () => {
  for (const body of [1, 2, 3]) await put(alice, 'gone', { body });
  await put(alice, 'live', { body: 1 });
  await put(alice, 'ended', { body: 1, channel: 'agent' });
  await del(alice, 'gone');
  await del(alice, 'live');
  await put(alice, 'live', { body: 2 });
  // 9: after the trim
  await del(alice, 'ended');
  await trimBefore(alice, 9);
  const answers = [
    await put(alice, 'gone', { body: 4, channel: 'agent' }),
    await put(alice, 'live', { body: 3, channel: 'agent' }),
    await put(alice, 'ended', { body: 2, channel: 'team' }),
    await put(alice, 'new', { body: 1 }),
    await put(alice, 'live', { body: 3 }),
  ];
  expect(answers.map(({ status, body }) => [status, body.version])).toEqual([
    [201, 5],
    [409, undefined],
    [409, undefined],
    [201, 5],
    [200, 4],
  ]);
  await alice.request('POST', '/v1/state/agent%3A%2F%2Fdemo/fork', { body: { to: 'copy' } });
  expect((await get(alice, 'gone', '', 'copy')).body).toMatchObject({ body: 4, version: 5 });
  expect(await failedChecks(alice)).toEqual([]);
});

test('a key that a snapshot or a later moment needs stays', async () => {
  await put(alice, 'a', { body: 1 });
  await snap(alice, 'before');
  await del(alice, 'a');
  await put(alice, 'b', { body: 1 });
  await trimBefore(alice, 3);
  expect((await get(alice, 'a', '?at=before')).body.body).toBe(1);
  expect((await put(alice, 'a', { body: 2, channel: 'agent' })).status).toBe(409);
});
