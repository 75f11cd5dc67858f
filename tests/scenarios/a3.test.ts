import { type Client, message, newTenant } from '../support/client.ts';
import { contextOf, itemsOf, recordAll, textsOf } from '../support/context.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// A3: the newest decision wins.

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

const decide = (decision: string, more: Record<string, unknown> = {}) => ({
  ...message('', { session_id: 'd', occurred_at: '2026-01-05T10:00:00Z' }),
  kind: 'decision',
  content: { decision, ...more },
});
const memoryOf = async (client: Client, id: string) => (await client.request('GET', `/v1/memories/${id}`)).body;

test('A3 the newer decision is active and cites the older one, which a context includes only with `history`', async () => {
  const alice = await newTenant(daemon.url);
  const [first] = await recordAll(alice, decide('never store secrets'));
  const [second] = await recordAll(alice, decide('store secrets encrypted', { supersedes: first!.event_id }));
  expect(await memoryOf(alice, first!.memory_id)).toMatchObject({ status: 'superseded', superseded_by: second!.memory_id });
  const held = await memoryOf(alice, second!.memory_id);
  expect([held.status, held.refs]).toEqual(['active', expect.arrayContaining([first!.memory_id, second!.event_id])]);

  for (const query_text of ['Do we store secrets?', 'never store secrets', '']) {
    const bundle = await contextOf(alice, { query_text });
    expect(itemsOf(bundle, 'decisions').map(({ memory_id }) => memory_id)).toEqual([second!.memory_id]);
    expect(bundle.text).not.toContain('never store secrets');
    expect(bundle.omissions).toContainEqual({ reason: 'superseded', count: 1, candidates: [first!.event_id] });
  }
  // nor in the session in which both were recorded
  expect((await contextOf(alice, { session_id: 'd' })).text).not.toContain('never store secrets');
  const search = await alice.request('POST', '/v1/search', { body: { query: 'never store secrets' } });
  expect(search.body.data.map(({ id, type }: Record<string, string>) => [id, type])).toEqual([[second!.memory_id, 'memory']]);

  const history = await contextOf(alice, { query_text: 'Do we store secrets?', history: true });
  const shown = itemsOf(history, 'decisions').map(({ memory_id, superseded }) => [memory_id, superseded]);
  expect(shown.toSorted()).toEqual(
    [
      [first!.memory_id, true],
      [second!.memory_id, undefined],
    ].toSorted(),
  );
  expect(history.text).toContain('(superseded) 2026-01-05: never store secrets');
  expect(history.omissions.filter(({ reason }) => reason === 'superseded')).toEqual([]);
});

test('A3 as of an earlier time, the decision that was current then is returned', async () => {
  const alice = await newTenant(daemon.url);
  const [first] = await recordAll(alice, decide('never store secrets'));
  const [second] = await recordAll(alice, {
    ...decide('store secrets encrypted', { supersedes: first!.event_id }),
    occurred_at: '2026-03-01T10:00:00Z',
  });
  for (const then of [{ as_of_seq: first!.seq }, { as_of: '2026-02-01T00:00:00Z' }]) {
    const bundle = await contextOf(alice, { query_text: 'Do we store secrets?', ...then });
    expect(itemsOf(bundle, 'decisions').map(({ memory_id }) => memory_id)).toEqual([first!.memory_id]);
    expect(bundle.omissions).toEqual([]);
    expect(itemsOf(await contextOf(alice, then), 'decisions').map(({ memory_id }) => memory_id)).toEqual([first!.memory_id]);
    const search = await alice.request('POST', '/v1/search', { body: { query: 'secrets', ...then } });
    expect(search.body.data.map(({ id }: { id: string }) => id)).toEqual([first!.memory_id]);
  }
  for (const now of [{ as_of_seq: second!.seq }, { as_of: '2026-03-02T00:00:00Z' }]) {
    const bundle = await contextOf(alice, { query_text: 'Do we store secrets?', ...now });
    expect(itemsOf(bundle, 'decisions').map(({ memory_id }) => memory_id)).toEqual([second!.memory_id]);
  }
});

test('A3 equally relevant decisions are always sorted by scope, then newest first', async () => {
  const alice = await newTenant(daemon.url);
  const scopes = ['global', 'session', 'user', 'project', 'policy'];
  await recordAll(
    alice,
    ...scopes.map((scope, i) => ({ ...decide(`rotate the keys, variant ${i}`, { scope }), project_id: 'p' })),
  );
  await recordAll(alice, decide('rotate the keys, variant 9', { scope: 'policy' }));
  const order = async () =>
    textsOf(await contextOf(alice, { query_text: 'rotate the keys' }), 'decisions').map((text) => text.at(-1));
  const orders = [];
  for (let i = 0; i < 5; i += 1) orders.push(await order());
  expect(new Set(orders.map(String)).size).toBe(1);
  expect(orders[0]).toEqual(['9', '4', '3', '2', '1', '0']);
});
