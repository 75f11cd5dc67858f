import { type Client, message, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
let alice: Client;
const texts = {
  path: 'The retry loop is in src/ingest/consumer.ts:42, see there',
  other_path: 'The producer is in src/emit/producer.js',
  windows: 'It was saved as C:\\Users\\eve\\report.docx yesterday',
  host: 'Staging answers at https://api.example.com:8443/v1/items?page=3.',
  other_host: 'The database listens on db.internal:5432',
  camel: 'Call parseHttpRequest before the timeout',
  snake: 'The column last_seen_at is empty',
  kebab: 'Install the package left-pad-tool first',
  version: 'We deployed v2.14.3 on Monday',
  code: 'The client saw ERR_CONN_RESET twice',
  short_code: 'The compiler reports E1234 there',
  dashed_code: 'Ticket AM-404 is open',
  hash: 'Fixed in commit 9fceb02d0ae598e95dc970b74767f19372d61af8',
  uuid: 'The order 550e8400-e29b-41d4-a716-446655440000 is lost',
  mail: 'Write to zoe.miller@mail.example.org about it',
  emoji: 'The release went well 🎉',
  tone: 'Looks good 👍🏽',
  tag: 'Filed under #billing',
  plain_word: 'The billing office is closed',
  name: 'Ask @robin for access',
  issue: 'Duplicate of acme/widgets#731',
  range: 'Read pages 112-135 until Friday',
  date: 'The audit is on 2031-07-19',
  mixed: '設定はconfig/app.yamlにあります',
};
beforeAll(async () => {
  daemon = await startTestDaemon();
  alice = await newTenant(daemon.url);
  const events = Object.values(texts).map((text, i) => message(text, { session_id: `s${i}` }));
  const { status } = await alice.request('POST', '/v1/events', { body: { events } });
  expect(status).toBe(201);
});
afterAll(() => daemon.stop());

const search = async (query: string, client = alice): Promise<string[]> => {
  const { status, body } = await client.request('POST', '/v1/search', { body: { query } });
  expect(status).toBe(200);
  return body.data.map(({ text }: { text: string }) => text);
};

test.each<[string, keyof typeof texts]>([
  ['consumer.ts', 'path'],
  ['ingest/consumer.ts', 'path'],
  ['./src/ingest/consumer.ts', 'path'],
  ['src/ingest', 'path'],
  ['ingest', 'path'],
  ['consumers', 'path'],
  ['report.docx', 'windows'],
  ['eve/report.docx', 'windows'],
  ['api.example.com', 'host'],
  ['api.example.com:8443', 'host'],
  ['8443', 'host'],
  ['v1/items', 'host'],
  ['db.internal', 'other_host'],
  ['db.internal:5432', 'other_host'],
  ['parseHttpRequest', 'camel'],
  ['requests', 'camel'],
  ['parse_http_request', 'camel'],
  ['last_seen_at', 'snake'],
  ['lastSeenAt', 'snake'],
  ['left-pad-tool', 'kebab'],
  ['pad', 'kebab'],
  ['v2.14.3', 'version'],
  ['2.14.3', 'version'],
  ['ERR_CONN_RESET', 'code'],
  ['err_conn_reset', 'code'],
  ['conn', 'code'],
  ['E1234', 'short_code'],
  ['AM-404', 'dashed_code'],
  ['9fceb02', 'hash'],
  ['9FCEB02D0AE5', 'hash'],
  ['550e8400', 'uuid'],
  ['550e8400-e29b-41d4-a716-446655440000', 'uuid'],
  ['zoe.miller@mail.example.org', 'mail'],
  ['zoe.miller', 'mail'],
  ['mail.example.org', 'mail'],
  ['🎉', 'emoji'],
  ['👍', 'tone'],
  ['#billing', 'tag'],
  ['@robin', 'name'],
  ['robin', 'name'],
  ['#731', 'issue'],
  ['acme/widgets', 'issue'],
  ['135', 'range'],
  ['112-135', 'range'],
  ['2031-07-19', 'date'],
  ['2031', 'date'],
  ['app.yaml', 'mixed'],
])('%j finds the text named %s first', async (query, name) => {
  expect((await search(query))[0]).toBe(texts[name]);
});

test('a prefix of a hash and a code of another number find nothing else', async () => {
  expect(await search('9fceb02d')).toEqual([texts.hash]);
  expect(await search('9fceb03')).toEqual([]);
  expect(await search('E1235')).toEqual([]);
});

test('a header is split too: the parts of a tool name find its call', async () => {
  const bob = await newTenant(daemon.url);
  const call = {
    session_id: 's',
    channel: 'team',
    kind: 'tool_call',
    actor: { type: 'agent', id: 'night-worker_7' },
    content: { tool: 'fetchInvoice', args: {} },
  };
  expect((await bob.request('POST', '/v1/events', { body: { events: [call] } })).status).toBe(201);
  for (const query of ['invoice', 'fetchInvoice', 'worker', 'night-worker_7']) {
    const { body } = await bob.request('POST', '/v1/search', { body: { query, channel: 'team' } });
    expect([query, body.data.length]).toEqual([query, 1]);
  }
});

// Each passage of such a text has a bounded number of terms; without the bound this would take minutes.
test.each([
  ['capitals', 'aBcD'.repeat(50_000)],
  ['a path', 'dir/'.repeat(10_000)],
  ['many names', Array.from({ length: 20_000 }, (_, i) => `a${i}_b${i}.c${i}`).join(' ')],
  ['one character', 'a1'.repeat(50_000)],
])('a text of identifiers alone is recorded and found: %s', async (_, text) => {
  const bob = await newTenant(daemon.url);
  const { status } = await bob.request('POST', '/v1/events', { body: { events: [message(`${text} zebra`)] } });
  expect(status).toBe(201);
  expect(await search('zebra', bob)).toHaveLength(1);
  expect((await bob.request('POST', '/v1/search', { body: { query: text.slice(0, 60_000) } })).status).toBe(200);
});
