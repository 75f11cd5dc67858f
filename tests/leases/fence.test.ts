import { loadConfig } from '../../src/config.ts';
import type { Example, Examples } from '../../src/examples.ts';
import { features } from '../../src/features.ts';
import { isFenced } from '../../src/http/fence.ts';
import { describeService } from '../../src/wiring.ts';
import { storyOn } from '../examples/story.ts';
import { type TestConnection, withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer } from '../support/database.ts';
import { testEngine } from '../support/engine.ts';
import { type Receiver, startReceiver } from '../webhooks/receiver.ts';

const { routes } = describeService(loadConfig({ JWT_SECRET: 'x'.repeat(32) }));
/** The operations that a fence applies to. */
const writes = routes.filter(isFenced).map(({ method, path }) => `${method} ${path}`);
const examples: Examples = Object.assign({}, ...features.map((feature) => feature.examples?.()));

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon({ HOST: '127.0.0.1' });
});
afterAll(() => daemon.stop());

/** A dry run would write nothing anyway. */
const withStaleFence = ({ headers, body, ...request }: Example): Example => ({
  ...request,
  headers: { ...headers, lease: 'nobody/holds/this;token=1' },
  body: typeof body === 'object' && 'dry_run' in body! ? { ...body, dry_run: false } : body,
});

/** Tables that change without a write: by the time of last use, by work of the daemon, or by the record of the refusal. */
const unrelated = [
  ...['api_keys', 'audit_clocks', 'audit_entries', 'webhooks', 'webhook_deliveries'],
  ...['embedding_backlogs', 'embedding_gaps', 'sessions', 'capability_buckets'],
];

describeOnServer('a second connection replaces a function', () => {
  const query = async <Row>(text: string, values: unknown[] = []): Promise<Row[]> => {
    const engine = testEngine();
    if (engine.kind !== 'postgres') throw new Error('a second connection is needed');
    const connection: TestConnection = { ...engine.cluster.admin, database: daemon.env.PGDATABASE! };
    return withClient(connection, async (client) => (await client.query(text, values)).rows as Row[]);
  };
  let receiver: Receiver;
  let tables: string[];
  beforeAll(async () => {
    receiver = await startReceiver();
    // The daemon checks the fence before it serves the request. Without this check, only the transactions of the writes can refuse it.
    await query(
      'create or replace function check_guards(p_tenant text, p_guards jsonb, p_key text) returns void language sql as $$ select $$',
    );
    const found = await query<{ name: string }>(
      `select c.relname as name from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
       where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relname <> all ($1) order by 1`,
      [unrelated],
    );
    tables = found.map(({ name }) => name);
  });
  afterAll(() => receiver.close());

  /** A fingerprint of each table of a tenant. */
  const stateOf = (tenant: string) =>
    query<{ name: string; md5: string | null }>(
      tables
        .map(
          (name) => `select '${name}' as name, md5(string_agg(t::text, '' order by t::text)) from ${name} t where tenant_id = $1`,
        )
        .join(' union all '),
      [tenant],
    );

  const tried = new Map<string, { status: number; type: unknown; changed: string[] }>();

  // as in the test of the examples: a tenant for each folder
  test.each(features.map(({ examples: own }) => Object.keys(own?.() ?? {})).filter(([first]) => first !== undefined))(
    'the examples from %s on: each write is tried with a stale fence first',
    async (...names) => {
      const tenant = `fence-${names[0]!.replaceAll('_', '-')}`;
      const run = storyOn(examples, daemon.url, tenant, new URL(receiver.url).origin, async (name, send) => {
        const { operation } = examples[name]!;
        if (!writes.includes(operation) || tried.has(operation)) return;
        const before = await stateOf(tenant);
        const { status, body } = await send(withStaleFence);
        const after = await stateOf(tenant);
        const changed = after.filter((table, i) => table.md5 !== before[i]!.md5).map((table) => table.name);
        tried.set(operation, { status, type: (body as { type?: unknown })?.type, changed });
      });
      for (const name of names) expect([name, (await run(name)).status < 400]).toEqual([name, true]);
    },
    120_000,
  );

  test('every write under /v1 refuses a stale fence in its transaction, and changes nothing', () => {
    expect(writes.length).toBeGreaterThan(40);
    const refused = { status: 412, type: '/docs/problems#stale-lease', changed: [] };
    expect(Object.fromEntries(tried)).toEqual(Object.fromEntries(writes.map((operation) => [operation, refused])));
  });
});
