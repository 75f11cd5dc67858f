import { loadConfig } from '../../src/config.ts';
import { openDatabase } from '../../src/db/index.ts';
import { createLogger } from '../../src/log.ts';
import { rebuildTenant } from '../../src/passages/index.ts';
import { type Client, message, newTenant } from '../support/client.ts';
import { freePort, startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { daemonDatabase } from '../support/database.ts';

const MIB = 1024 * 1024;

let database: Awaited<ReturnType<typeof daemonDatabase>>;
let daemon: TestDaemon;
let start: () => Promise<TestDaemon>;
beforeAll(async () => {
  database = await daemonDatabase();
  const PORT = String(await freePort());
  // generous timeouts: this is not a performance test
  const timeouts = { REQUEST_TIMEOUT_MS: '100000', PGSTATEMENT_TIMEOUT: '60000', PGQUERY_TIMEOUT: '70000' };
  start = () => startTestDaemon({ PORT, ...timeouts }, database.env);
  daemon = await start();
});
afterAll(async () => {
  await daemon.stop();
  await database.release();
});

/** Returns filler lines of about `bytes` bytes, followed by `last`. */
const filled = (bytes: number, last: string) => {
  const line = 'The build went on as it had on the day before, step by step. ';
  return line.repeat(Math.floor(bytes / line.length)) + last;
};
const output = (excerpt_text: string) => ({ ...message(''), kind: 'tool_result', content: { tool: 'make', excerpt_text } });

/** Records an event in a batch, because the body of a single event is limited to 2 MiB. */
async function record(client: Client, event: object, headers: Record<string, string> = {}) {
  const { status, body } = await client.request('POST', '/v1/events', { body: { events: [event] }, headers });
  expect([status, body]).toEqual([201, expect.anything()]);
  return body.data[0] as { event_id: string; chunk_ids: string[]; unindexed_bytes?: number };
}
async function find(client: Client, query: string) {
  const { status, body } = await client.request('POST', '/v1/search', { body: { query } });
  expect(status).toBe(200);
  return (body.data as { id: string; text: string }[]).map(({ id, text }) => ({ id, text }));
}

/** Stops the daemon meanwhile, because the embedded engine has one connection. */
async function dropAndRebuild(tenant_id: string): Promise<void> {
  await daemon.stop();
  const opened = await openDatabase(
    loadConfig({ ...database.env, NODE_ENV: 'test', PGSTATEMENT_TIMEOUT: '60000', PGQUERY_TIMEOUT: '70000' }),
    createLogger('silent'),
  );
  try {
    const tenant = opened.tenants(tenant_id);
    await tenant.write((db) => db.run('delete from chunks where tenant_id = $1', [tenant_id]));
    await rebuildTenant(tenant);
  } finally {
    await opened.close();
  }
  daemon = await start();
}

test('search finds the last word of a 3 MiB text, also after a rebuild', async () => {
  const alice = await newTenant(daemon.url);
  const large = await record(alice, output(filled(3 * MIB, 'At the end stood a wombat.')));
  expect(large.unindexed_bytes).toBeUndefined();
  const last = large.chunk_ids.at(-1)!;
  const [found] = await find(alice, 'wombat');
  expect(found).toEqual({ id: last, text: expect.stringContaining('stood a wombat') });
  expect((await alice.request('GET', `/v1/chunks/${last}`)).body.text).toBe(found!.text);
  await record(alice, message('as that output says', { refs: [last] }));
  await dropAndRebuild(alice.tenant_id);
  expect((await find(alice, 'wombat'))[0]).toEqual(found);
  expect((await alice.request('GET', `/v1/events/${large.event_id}`)).body.chunk_ids).toEqual(large.chunk_ids);
}, 240_000);

test('the 201 and its replay report unindexed_bytes of a longer text, and a rebuild indexes the same part', async () => {
  const alice = await newTenant(daemon.url);
  const event = output(`${filled(4 * MIB - 500, 'Here stood a wombat.')}${filled(MIB, 'Out of reach stood a quokka.')}`);
  const key = { 'Idempotency-Key': 'the-long-one' };
  const first = await record(alice, event, key);
  expect(first.unindexed_bytes).toBeGreaterThan(MIB - 1_000);
  expect(await record(alice, event, key)).toEqual(first);
  const { content, chunk_ids } = (await alice.request('GET', `/v1/events/${first.event_id}`)).body;
  expect([content.unindexed_bytes, chunk_ids]).toEqual([first.unindexed_bytes, first.chunk_ids]);
  const before = await find(alice, 'wombat');
  expect(before).toHaveLength(1);
  expect(await find(alice, 'quokka')).toEqual([]);
  await dropAndRebuild(alice.tenant_id);
  expect([await find(alice, 'wombat'), await find(alice, 'quokka')]).toEqual([before, []]);
}, 240_000);

test('an upload is not indexed, and its 201 reports it', async () => {
  const alice = await newTenant(daemon.url);
  const bytes = 'a line about the quokka\n';
  const { status, body } = await alice.request('POST', '/v1/artifacts', {
    body: bytes,
    headers: { 'content-type': 'text/plain' },
  });
  expect([status, body.unindexed_bytes]).toEqual([201, bytes.length]);
  expect(await find(alice, 'quokka')).toEqual([]);
});

test.each(['chk_01m7zc9fa5jkxxaehpgpgf2gsh_32767', 'chk_01m7zc9fa5jkxxaehpgpgf2gsh_99999'])(
  'the impossible chunk id %s returns 404',
  async (id) => {
    const alice = await newTenant(daemon.url);
    expect((await alice.request('GET', `/v1/chunks/${id}`)).status).toBe(404);
    const edit = { target: id, op: 'retract', reason: 'none' };
    expect((await alice.request('POST', '/v1/edits', { body: edit })).status).toBe(404);
  },
);
