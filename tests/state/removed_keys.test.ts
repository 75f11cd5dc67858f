import { failedChecks } from '../export/file.ts';
import { done, type Row } from '../retention/support.ts';
import { diff, fork, lastSeq, restored, snap, trimBefore } from '../snapshots/support.ts';
import { type Client, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { del, get, keysOf, NAMESPACE, pathOf, put } from './client.ts';

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

/** Writes the private object `gone`, from which `cite` makes something that carries its event, deletes it and trims up to the end. */
async function removeCited(cite: (event: string) => Promise<Row>): Promise<Row> {
  await put(alice, 'gone', { body: 'secret', channel: 'private' });
  const [{ event_id }] = (await done(alice, 'GET', '/v1/events?channel=private&kind=state.put')).data;
  const made = await cite(event_id);
  await del(alice, 'gone');
  for (const body of [1, 2]) await put(alice, 'x', { body });
  await trimBefore(alice, await lastSeq(alice));
  return made;
}
const memory = (pinned: boolean) => (event: string) =>
  done(alice, 'POST', '/v1/memories', { channel: 'private', text: 'It says so.', pinned, refs: [event] });
const capsule = (event: string) =>
  done(alice, 'POST', '/v1/capsules', { items: [event], audience: { users: ['alice'] }, channel: 'private' });

test.each([
  ['a pinned memory', memory(true)],
  ['a memory', memory(false)],
  ['a capsule', capsule],
])('the key of a deleted object stays while its event is carried for %s', async (_, cite) => {
  await removeCited(cite);
  expect(await failedChecks(alice)).toEqual([]);
  const seq = await lastSeq(alice);
  await snap(alice, 'after');
  await put(alice, 'x', { body: 3 });
  // with its own audience alone
  expect((await put(alice, 'gone', { body: 'new', channel: 'public' })).status).toBe(409);
  for (const at of [seq - 1, seq, 'after']) {
    expect((await get(alice, 'gone', `?at=${at}`)).status).toBe(404);
    expect(keysOf(await done(alice, 'POST', '/v1/state/query', { namespace: NAMESPACE, at: `${at}` }))).toEqual(['x']);
  }
  const { data } = (await alice.request('GET', `${pathOf('gone')}/versions`)).body;
  expect(data.map(({ version, change }: Row) => [version, change])[0]).toEqual([2, 'deleted']);
  expect((await diff(alice, 'after')).map(({ key }) => key)).toEqual(['x']);
  expect((await fork(alice, 'copy', { at: 'after' })).status).toBe(201);
  expect((await get(alice, 'gone', '', 'copy')).status).toBe(404);
  await restored(alice, 'after');
  expect((await get(alice, 'gone')).status).toBe(404);
  expect(await failedChecks(alice)).toEqual([]);
});

test('the next trim removes the key when its event is no longer carried', async () => {
  const { memory_id } = await removeCited(memory(true));
  await done(alice, 'PATCH', `/v1/memories/${memory_id}`, { pinned: false });
  await alice.request('DELETE', `/v1/memories/${memory_id}`);
  await put(alice, 'x', { body: 3 });
  await trimBefore(alice, await lastSeq(alice));
  expect((await put(alice, 'gone', { body: 'new', channel: 'public' })).body).toMatchObject({ version: 3, channel: 'public' });
  const { data } = (await alice.request('GET', `${pathOf('gone')}/versions`)).body;
  expect(data.map(({ body }: Row) => body)).toEqual(['new']);
  expect(await failedChecks(alice)).toEqual([]);
});

test('an object that was deleted at the beginning of the log has no value there, although an earlier version is carried', async () => {
  await put(alice, 'back', { body: 'old', channel: 'private' });
  const [{ event_id }] = (await done(alice, 'GET', '/v1/events?channel=private&kind=state.put')).data;
  await memory(true)(event_id);
  await del(alice, 'back');
  await put(alice, 'x', { body: 1 });
  const seq = await lastSeq(alice);
  await put(alice, 'back', { body: 'new' });
  await trimBefore(alice, seq + 1);
  expect((await get(alice, 'back', `?at=${seq}`)).status).toBe(404);
  expect((await get(alice, 'back')).body.body).toBe('new');
  expect(await failedChecks(alice)).toEqual([]);
});
