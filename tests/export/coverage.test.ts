import { Client } from 'pg';
import { registry } from '../../src/registry.ts';
import { workerDatabase } from '../support/database.ts';

// Compares the exported parts with the catalog: a new table or column must be exported or listed here.

/** Tenant tables that are not exported, and why. */
const omitted: Record<string, string> = {
  api_keys: 'a credential',
  actions: 'reservations of this service; the sums of their mandates are exported',
  audit_clocks: 'like audit_entries',
  audit_entries: 'operations on this service, chained with its key',
  capabilities: 'a credential',
  chunk_rebuilds: 'work of this service',
  chunks: 'derived from the log',
  embedding_backlogs: 'progress of the models of this service',
  embedding_gaps: 'like embedding_backlogs',
  embeddings: 'derived from the passages',
  erasure_marks: 'work of this service',
  idempotency_keys: 'responses of this service',
  invites: 'a credential',
  jobs: 'work of this service',
  mandate_kills: 'ends of actions, which are not exported',
  mandate_calls: 'the windows of rate limits of this service',
  lease_floors: 'like leases',
  lease_waiters: 'requests to this service',
  leases: 'held by processes that use this service',
  password_resets: 'a credential',
  refresh_tokens: 'a credential',
  request_nonces: 'requests to this service',
  sessions: 'a credential',
  tenant_clocks: 'the header line',
  tenants: 'the tenant line',
  users: 'a credential',
  webhook_deliveries: 'like webhooks',
  webhooks: 'a copy would deliver each event twice, and the secrets are encrypted with the key of this service',
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
  expect(tables.filter((name) => !exported.includes(name) && !omitted[name])).toEqual([]);
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
