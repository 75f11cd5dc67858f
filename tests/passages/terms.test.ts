import { loadConfig } from '../../src/config.ts';
import { openDatabase } from '../../src/db/index.ts';
import { createLogger } from '../../src/log.ts';
import { rebuildTenant } from '../../src/passages/index.ts';
import { type Client, message, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { daemonDatabase } from '../support/database.ts';

// In the database of this test, a statement fails that computes the terms of more than 128 passages.

const PASSAGES = 560;
const timeouts = { REQUEST_TIMEOUT_MS: '100000', PGSTATEMENT_TIMEOUT: '60000', PGQUERY_TIMEOUT: '70000' };

type Opened = Awaited<ReturnType<typeof openDatabase>>;
let database: Awaited<ReturnType<typeof daemonDatabase>>;
let daemon: TestDaemon;

/** Runs `work` while no daemon runs, because the embedded engine has one connection. */
async function withDatabase<T>(work: (opened: Opened) => Promise<T>): Promise<T> {
  const opened = await openDatabase(loadConfig({ NODE_ENV: 'test', ...timeouts, ...database.env }), createLogger('silent'));
  try {
    return await work(opened);
  } finally {
    await opened.close();
  }
}

beforeAll(async () => {
  database = await daemonDatabase();
  await withDatabase(({ pool }) =>
    pool.using(async (client) => {
      await client.query('set role none');
      await client.query('alter function passage_terms rename to quick_terms');
      await client.query(`
        create function passage_terms(p_language regconfig, p_text text, p_header text, p_at timestamptz) returns int[]
        language plpgsql immutable
        as $$
        begin
          if current_setting('test.statement', true) is distinct from statement_timestamp()::text then
            perform set_config('test.statement', statement_timestamp()::text, false), set_config('test.passages', '0', false);
          end if;
          perform set_config('test.passages', (current_setting('test.passages')::int + 1)::text, false);
          if current_setting('test.passages')::int > 128 then
            raise exception 'too many passages in a statement';
          end if;
          return quick_terms(p_language, p_text, p_header, p_at);
        end $$`);
      await client.query('reset role');
    }, 'test'),
  );
  daemon = await startTestDaemon(timeouts, database.env);
});
afterAll(async () => {
  await daemon.stop();
  await database.release();
});

const texts = Array.from({ length: PASSAGES }, (_, i) => `Passage ${i} has the word wombat${i}.`);

async function find(client: Client, query: string): Promise<string[]> {
  const { body } = await client.request('POST', '/v1/search', { body: { query } });
  return (body.data as { text: string }[]).map(({ text }) => text);
}

test('the terms of a list of events or memories are computed in several statements, each for its own passage', async () => {
  const alice = await newTenant(daemon.url);
  const recorded = await alice.request('POST', '/v1/events', { body: { events: texts.map((text) => message(text)) } });
  expect([recorded.status, recorded.body.data?.length]).toEqual([201, PASSAGES]);
  const memories = texts.map((text) => ({ text: `Noted: ${text}` }));
  const noted = await alice.request('POST', '/v1/memories', { body: { memories } });
  expect([noted.status, noted.body.data?.length]).toEqual([201, PASSAGES]);
  const found = await find(alice, `wombat${PASSAGES - 1}`);
  expect(found).toContain(texts.at(-1));
  expect(found).toContain(`Noted: ${texts.at(-1)}`);
});

test('those of a long text too, also by a rebuild, which computes the same', async () => {
  const alice = await newTenant(daemon.url);
  const text = texts.map((line) => line + ' '.repeat(400)).join('\n');
  const stored = await alice.request('POST', '/v1/events', { body: message(text) });
  expect([stored.status, stored.body.chunk_ids?.length > 512]).toEqual([201, true]);
  expect((await find(alice, 'wombat0'))[0]).toContain('Passage 0 ');
  expect((await find(alice, `wombat${PASSAGES - 1}`))[0]).toContain(`Passage ${PASSAGES - 1} `);
  await daemon.stop();
  await withDatabase(async ({ tenants }) => {
    const tenant = tenants(alice.tenant_id);
    const terms = () => tenant.read((db) => db.rows('select seq, ordinal, terms from chunks order by seq, ordinal', []));
    const before = await terms();
    await tenant.write((db) => db.run('update chunks set terms = $1', ['{}']));
    await rebuildTenant(tenant);
    expect(await terms()).toEqual(before);
  });
});
