import { type Client, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { act, issue } from './support.ts';

// The list of actions that wait for a decision.

type Row = Record<string, any>;

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
beforeEach(async () => {
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

const approval = { tool_policies: { pay: { require_approval: true } } };
const pay = (mandate: Row, action_id: string, args: Row = { to: 'bank' }) =>
  act(alice, mandate, { action_id, tool: 'pay', args });
const waiting = async (client: Client, query = ''): Promise<Row> => {
  const { status, body } = await client.request('GET', `/v1/actions?decision=defer${query}`);
  if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`);
  return body;
};
const idsOf = ({ data }: Row) => data.map(({ mandate_id, action_id }: Row) => `${mandate_id} ${action_id}`);

test('the list has deferred actions until they are decided or end, for admins and for the subjects of their mandates', async () => {
  const bob = await newColleague(alice);
  const one = await issue(alice, { mandate_id: 'm1', ...approval });
  const two = await issue(alice, { mandate_id: 'm2', principal: 'bob', agent_id: 'writer', ...approval });
  const short = await issue(alice, { mandate_id: 'm3', approval_ttl_ms: 100, ...approval });
  for (const id of ['a', 'b']) expect((await pay(one, id)).status).toBe(202);
  await pay(two, 'c');
  await pay(short, 'd');
  await act(alice, one, { action_id: 'free' });
  const { data } = await waiting(alice);
  expect(data[0]).toMatchObject({ mandate_id: 'm1', action_id: 'a', decision: 'defer', state: 'open', args: { to: 'bank' } });
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect(idsOf(await waiting(alice))).toEqual(['m1 a', 'm1 b', 'm2 c']);
  expect(idsOf(await waiting(alice, '&mandate_id=m1'))).toEqual(['m1 a', 'm1 b']);
  expect(idsOf(await waiting(bob))).toEqual(['m2 c']);
  const first = await waiting(alice, '&limit=2');
  expect([idsOf(first), idsOf(await waiting(alice, `&limit=2&cursor=${first.next_cursor}`))]).toEqual([
    ['m1 a', 'm1 b'],
    ['m2 c'],
  ]);
  await alice.request('POST', '/v1/agents/writer/kill', { body: {} });
  expect(idsOf(await waiting(alice))).toEqual(['m1 a', 'm1 b']);
  for (const query of ['', '?decision=allow', '?decision=defer&cursor=x'])
    expect((await alice.request('GET', `/v1/actions${query}`)).status).toBe(422);
});

test('a page ends after about 4 MiB of arguments', async () => {
  const mandate = await issue(alice, approval);
  for (let i = 0; i < 40; i++) expect((await pay(mandate, `a${i}`, { text: 'a '.repeat(60_000) })).status).toBe(202);
  const first = await waiting(alice, '&limit=100');
  expect(first.data.length).toBeLessThan(40);
  const second = await waiting(alice, `&limit=100&cursor=${first.next_cursor}`);
  expect([first.data.length + second.data.length, second.next_cursor]).toEqual([40, null]);
});
