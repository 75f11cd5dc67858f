import { Client } from 'pg';
import { registry } from '../../src/registry.ts';
import { workerDatabase } from '../support/database.ts';

// Compares the exported parts with the catalog: a new table or column must be exported or listed here.

/** Tenant tables that are not exported, and why. */
const left: Record<string, string> = {
  api_keys: 'a credential',
  audit_clocks: 'as audit_entries',
  audit_entries: 'what was done here, chained by the key of this service',
  chunk_rebuilds: 'what runs here',
  chunks: 'derived: made again from the log',
  embedding_backlogs: 'how far the models of this service are',
  embedding_gaps: 'as embedding_backlogs',
  embeddings: 'derived: made again from the passages',
  erasure_marks: 'of erasures that run here',
  idempotency_keys: 'answers to requests that were made here',
  invites: 'a credential',
  jobs: 'what runs here',
  password_resets: 'a credential',
  refresh_tokens: 'a credential',
  sessions: 'a credential',
  tenant_clocks: 'the header',
  tenants: 'the line of type tenant',
  users: 'a credential',
  webhook_deliveries: 'as webhooks',
  webhooks: 'a copy that told the same receivers would tell them twice; and its secret is sealed by a key of this service',
};

const rows = registry.portable;

let client: Client;
beforeAll(async () => {
  client = new Client((await workerDatabase()).connection);
  await client.connect();
});
afterAll(() => client.end());

const names = async (text: string, values: unknown[] = []) =>
  (await client.query<{ name: string }>(text, values)).rows.map(({ name }) => name);

test('every tenant table is exported, or left out for a reason', async () => {
  const tables = await names(
    `select c.relname as name from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
     where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') order by 1`,
  );
  const exported = await names('select relation as name from portable_parts()');
  expect(tables.filter((name) => !exported.includes(name) && !left[name])).toEqual([]);
});

test('the lines have the same order as in earlier exports', async () => {
  const parts = await names('select part as name from portable_parts() order by place');
  const before = [
    'memory',
    'edit',
    'edit_event',
    'overlay',
    'capsule',
    'retention_policy',
    'artifact',
    'event',
    'memory_version',
  ];
  expect(parts.filter((part) => before.includes(part))).toEqual(before);
  expect(Object.keys(rows).sort()).toEqual(parts.sort());
});

test.each(Object.keys(rows))('each column of the part %s has a schema for imports', async (part) => {
  const columns = await names(
    'select c.name from portable_parts() p cross join lateral portable_columns(p.relation) c where p.part = $1 order by 1',
    [part],
  );
  const { shape } = rows[part]!.row as unknown as { shape: Record<string, unknown> };
  expect(Object.keys(shape).sort()).toEqual(['type', ...columns].sort());
});
