import { message, newColleague, newTenant } from '../support/client.ts';
import { contextOf, itemsOf, recordAll, remember } from '../support/context.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

type Client = Awaited<ReturnType<typeof newTenant>>;
const request = { session_id: 'now', query_text: 'What is the deploy branch?' };
const source = async (client: Client, occurred_at: string, more: Record<string, unknown> = {}) => {
  const [event] = await recordAll(client, message('we met', { session_id: 'x', occurred_at, ...more }));
  return event!.event_id;
};
const state = async (client: Client, value: unknown, more: Record<string, unknown> = {}, subject = 'Deploy branch') => {
  const text = `The deploy branch is ${value === true || typeof value === 'number' ? `now ${String.fromCharCode(65 + Number(value))}` : value}`;
  const { memory_id } = await remember(client, { kind: 'fact', text, body: { subject, value }, ...more });
  return memory_id;
};
const shown = async (client: Client, more: Record<string, unknown> = {}) =>
  itemsOf(await contextOf(client, { ...request, ...more }), 'retrieved_evidence').filter(({ memory_id }) => memory_id);

test.each([
  ['main', 'trunk'],
  [1, 2],
  ['C++', 'C'],
  [true, 'no'],
])('facts that state %j and %j about one subject are both marked with their dates, the later one first', async (old, young) => {
  const alice = await newTenant(daemon.url);
  // recorded in reverse order
  const newer = await state(alice, young, { refs: [await source(alice, '2026-03-02T10:00:00Z')] });
  const older = await state(alice, old, { refs: [await source(alice, '2026-01-05T10:00:00Z')] }, ' deploy  BRANCH');
  const items = await shown(alice);
  expect(items.map(({ memory_id, conflict }) => [memory_id, conflict?.between])).toEqual([
    [newer, [newer, older]],
    [older, [older, newer]],
  ]);
  expect(items[0]!.text).toMatch(new RegExp(`^2026-03-02 [^]* \\[in conflict with ${older}\\]$`));
  expect(items[1]!.text).toMatch(new RegExp(`^2026-01-05 [^]* \\[in conflict with ${newer}\\]$`));
});

test('the claim that became valid later comes first, whenever it was stated', async () => {
  const alice = await newTenant(daemon.url);
  const refs = [await source(alice, '2026-03-02T10:00:00Z')];
  const later = await state(alice, 'main', { refs, valid_from: '2026-02-01T00:00:00Z' });
  const earlier = await state(alice, 'trunk', { refs, valid_from: '2026-01-01T00:00:00Z' });
  expect((await shown(alice)).map(({ memory_id }) => memory_id)).toEqual([later, earlier]);
});

test('a claim that was stated a microsecond later comes first', async () => {
  const alice = await newTenant(daemon.url);
  const newer = await state(alice, 'main', { refs: [await source(alice, '2026-03-02T10:00:00.000002Z')] });
  const older = await state(alice, 'trunk', { refs: [await source(alice, '2026-03-02T10:00:00.000001Z')] });
  expect((await shown(alice)).map(({ memory_id }) => memory_id)).toEqual([newer, older]);
});

test('an equal value, or another unit, subject, scope or audience, is no conflict', async () => {
  const alice = await newTenant(daemon.url);
  const bob = await newColleague(alice);
  const refs = [await source(alice, '2026-01-05T10:00:00Z', { channel: 'public' })];
  const team = { refs, channel: 'team' };
  const unmarked = async (client: Client, more = {}) =>
    expect((await shown(client, more)).map(({ memory_id, conflict }) => [memory_id, conflict])).toEqual(
      (await shown(client, more)).map(({ memory_id }) => [memory_id, undefined]),
    );
  const say = (client: Client, text: string, value: string, more: Record<string, unknown>, subject?: string) =>
    state(client, value, { ...more, text: `The deploy branch ${text}` }, subject);
  await say(alice, 'is main', 'main', team);
  await say(alice, 'was chosen by Ann', ' MAIN', { ...team, kind: 'note' });
  await say(
    alice,
    'for printed handbooks and manuals lives elsewhere, on the old server',
    'trunk',
    team,
    'Deploy branch of the docs',
  );
  await say(alice, 'in that project', 'trunk', { ...team, project_id: 'docs' });
  await say(alice, 'that I like', 'trunk', { refs });
  await say(bob, 'that I use', 'release', { refs });
  await unmarked(alice);
  await unmarked(alice, { channel: 'team' });
  await unmarked(bob);
  expect(await shown(alice, { channel: 'team' })).toHaveLength(4);
});

test('the date of a source that the caller may not see is not shown', async () => {
  const alice = await newTenant(daemon.url);
  const bob = await newColleague(alice);
  const refs = [await source(alice, '2019-01-05T10:00:00Z')];
  await state(alice, 'main', { refs, channel: 'team' });
  const [own] = await shown(alice);
  expect(own!.text).toMatch(/^2019-01-05 /);
  for (const item of await shown(bob, { channel: 'team' })) expect(item.text).not.toContain('2019');
});

test('two preferences about one subject are marked too', async () => {
  const alice = await newTenant(daemon.url);
  const prefer = (value: string) =>
    remember(alice, { kind: 'preference', text: `Use ${value}`, body: { subject: 'editor', value } });
  const [vim, emacs] = [await prefer('vim'), await prefer('emacs')];
  expect(itemsOf(await contextOf(alice), 'rules').map(({ memory_id, conflict }) => [memory_id, conflict?.with])).toEqual([
    [emacs.memory_id, [vim.memory_id]],
    [vim.memory_id, [emacs.memory_id]],
  ]);
});
