import { failedChecks } from '../export/file.ts';
import { type Client, message, newColleague, newTenant, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { onEmbedded } from '../support/database.ts';

// Memories in shared channels are one memory, whoever repeats or updates them.

let daemon: TestDaemon;
let alice: Client;
let bob: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
  bob = await newColleague(alice);
});
afterAll(() => daemon.stop());

const update = (by: Client, status: string, more: Record<string, unknown> = {}) =>
  by.request('POST', '/v1/events', {
    body: {
      ...message(''),
      actor: { type: 'human', id: by.username },
      kind: 'task_update',
      channel: 'team',
      content: { task_id: 'T-1', title: 'Write the guide', status },
      ...more,
    },
  });
const task = (by: Client, status: string, more: Record<string, unknown> = {}) =>
  by.request('POST', '/v1/memories', {
    body: { kind: 'task', text: 'Write the guide', body: { task_id: 'T-1', status }, channel: 'team', ...more },
  });
const list = async (by: Client, query: string): Promise<any[]> => (await by.request('GET', `/v1/memories?${query}`)).body.data;
const idOf = ({ status, body }: { status: number; body: Record<string, any> }): string => {
  expect([status, body.detail]).toEqual([201, undefined]);
  return body.memory_id;
};

test('updates of a shared task by any user, event or memory apply to one task', async () => {
  for (const channel of ['team', 'public', 'agent']) {
    const ids = [
      idOf(await update(alice, 'open', { channel })),
      idOf(await update(bob, 'doing', { channel })),
      idOf(await task(alice, 'blocked', { channel, user_id: 'alice' })),
      idOf(await task(bob, 'doing', { channel, user_id: 'bob' })),
      idOf(await update(alice, 'doing', { channel, content: { task_id: 'T-1', title: 'Write it', status: 'doing' } })),
    ];
    expect([channel, new Set(ids).size]).toEqual([channel, 1]);
    const byId = await update(bob, 'done', {
      channel,
      user_id: 'bob',
      content: { task_id: ids[0], title: 'Write it', status: 'done' },
    });
    expect(idOf(byId)).toBe(ids[0]);
    const [only, ...more] = await list(alice, `channel=${channel}&kind=task`);
    const seen = more.filter((one) => one.channel === channel);
    expect([only.memory_id, only.version, only.body.status, only.user_id, seen]).toEqual([ids[0], 6, 'done', 'bob', []]);
  }
  expect(await failedChecks(alice)).toEqual([]);
});

test('private tasks with the same name are separate for each user', async () => {
  const private_ = { channel: 'private' };
  const hers = idOf(await update(alice, 'open', private_));
  const his = idOf(await update(bob, 'done', private_));
  expect(hers).not.toBe(his);
  expect((await list(alice, 'channel=private&kind=task&user_id=alice')).map(({ body }) => body.status)).toEqual(['open']);
  expect(idOf(await update(alice, 'doing', private_))).toBe(hers);
});

test('shared memories are merged across users; preferences and memories about a person are not', async () => {
  const say = async (by: Client, more: Record<string, unknown>) =>
    idOf(
      await by.request('POST', '/v1/memories', { body: { kind: 'fact', text: 'Lunch is at noon', channel: 'team', ...more } }),
    );
  for (const kind of ['fact', 'note', 'summary', 'decision'])
    for (const channel of ['team', 'public']) expect(await say(bob, { kind, channel })).toBe(await say(bob, { kind, channel }));
  for (const kind of ['fact', 'note', 'decision'])
    for (const channel of ['team', 'public']) expect(await say(alice, { kind, channel })).toBe(await say(bob, { kind, channel }));
  expect(await say(alice, { user_id: 'alice' })).not.toBe(await say(bob, { user_id: 'bob' }));
  expect(await say(alice, { scope: 'user' })).not.toBe(await say(bob, { scope: 'user' }));
  expect(await say(alice, { kind: 'preference', scope: 'user' })).not.toBe(await say(bob, { kind: 'preference', scope: 'user' }));
  expect(await say(alice, { channel: 'private' })).not.toBe(await say(bob, { channel: 'private' }));
});

test('a member’s decision can be superseded by another member, by an event or a memory', async () => {
  const carol = await newColleague(alice, 'carol');
  const decide = (by: Client, decision: string, supersedes?: string) =>
    by.request('POST', '/v1/events', {
      body: {
        ...message(''),
        actor: { type: 'human', id: by.username },
        kind: 'decision',
        channel: 'team',
        content: { decision, ...(supersedes && { supersedes }) },
      },
    });
  const first = idOf(await decide(bob, 'We ship on Monday'));
  const second = idOf(await decide(carol, 'We ship on Tuesday', first));
  const { body: third } = await bob.request('POST', `/v1/memories/${second}/supersede`, {
    body: { kind: 'decision', text: 'We ship on Friday', channel: 'team' },
  });
  const chain = (await bob.request('GET', `/v1/memories/${first}/history`)).body.data;
  expect(chain.map((one: any) => [one.memory_id, one.status])).toEqual([
    [first, 'superseded'],
    [second, 'superseded'],
    [third.memory_id, 'active'],
  ]);
  expect((await list(carol, 'channel=team&kind=decision')).map(({ text }) => text)).toEqual(['We ship on Friday']);
});

test('concurrent updates of a task, also on two daemons, each create a version of one task', async () => {
  // the embedded engine has one daemon
  const other = onEmbedded() ? undefined : await startTestDaemon({}, daemon.env);
  try {
    const there: Client = {
      ...bob,
      request: (method, path, asked) => send(other?.url ?? daemon.url, method, path, asked, bob.token),
    };
    const moves = Array.from({ length: 40 }, (_, i) =>
      update([alice, bob, there][i % 3]!, ['open', 'doing', 'blocked'][i % 3]!, {
        user_id: i % 2 ? ['alice', 'bob', 'bob'][i % 3] : undefined,
      }),
    );
    const ids = (await Promise.all(moves)).map(idOf);
    expect(new Set(ids).size).toBe(1);
    const [only, ...others] = await list(alice, 'channel=team&kind=task');
    expect([only.version, others]).toEqual([40, []]);
    expect(await failedChecks(alice)).toEqual([]);
  } finally {
    await other?.stop();
  }
});
