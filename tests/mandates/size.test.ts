import { type Client, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { daemonDatabase } from '../support/database.ts';
import { issue } from './support.ts';

// Bounds of terms, which requests compare and compile on the event loop.

let database: Awaited<ReturnType<typeof daemonDatabase>>;
let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  database = await daemonDatabase();
  daemon = await startTestDaemon({}, database.env);
  alice = await newTenant(daemon.url);
});
afterAll(async () => {
  await daemon.stop();
  await database.release();
});

const names = (count: number, prefix = 't') => Array.from({ length: count }, (_, i) => `${prefix}${i}`);
const entries = (count: number, entry: object, prefix?: string) =>
  Object.fromEntries(names(count, prefix).map((name) => [name, entry]));
const answerOf = async (path: string, body: object) => {
  const answer = await alice.request('POST', path, { body });
  return `${answer.status} ${JSON.stringify(answer.body)}`;
};

test.each([
  ['schemas', { tool_policies: entries(33, { args_schema: {} }) }, /32 schemas/],
  ['subschemas', { tool_policies: entries(3, { args_schema: { anyOf: names(900).map(() => true) } }) }, /2000 subschemas/],
  ['entries', { tool_policies: entries(65, {}) }, /64 patterns/],
  ['patterns', { denied_tools: names(65) }, /64/],
  ['long patterns', { allowed_tools: ['x'.repeat(129)] }, /128/],
  ['stars', { allowed_tools: ['*a'.repeat(9)] }, /8 stars/],
  ['stars in an entry', { tool_policies: { ['*a'.repeat(9)]: {} } }, /Invalid key/],
])('too many %s are refused', async (_, terms, detail) => {
  const parent = await issue(alice);
  const answers = [
    await answerOf('/v1/mandates', { agent_id: 'planner', ...terms }),
    await answerOf(`/v1/mandates/${parent.mandate_id}/delegate`, terms),
    await answerOf('/v1/policies', { name: 'p', ...terms }),
  ];
  for (const answer of answers) {
    expect(answer).toMatch(/^422 /);
    expect(answer).toMatch(detail);
  }
});

test('the largest terms are accepted', async () => {
  const terms = {
    allowed_tools: names(64, '*a*b*c*d*e*f*g*'),
    denied_tools: ['x'.repeat(128)],
    tool_policies: { ...entries(32, { args_schema: {} }), ...entries(32, {}, 'u') },
  };
  expect(await issue(alice, terms)).toMatchObject(terms);
});

test('a delegation is refused if its entries are too large together with those of its parent', async () => {
  const parent = await issue(alice, { tool_policies: entries(20, { args_schema: {} }) });
  const path = `/v1/mandates/${parent.mandate_id}/delegate`;
  const refused = await answerOf(path, { tool_policies: entries(20, { args_schema: {} }, 'u') });
  expect(refused).toMatch(/^422 .*with those of the parent: must have at most 32 schemas/);
  expect(await answerOf(path, { tool_policies: entries(12, { args_schema: {} }, 'u') })).toMatch(/^201 /);
});
