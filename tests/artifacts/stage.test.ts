import { commitWithArtifacts, sha256Of, withArtifact } from '../../src/artifacts/index.ts';
import { loadConfig } from '../../src/config.ts';
import { WriteQueueFull } from '../../src/db/commit.ts';
import { type Database, openDatabase } from '../../src/db/index.ts';
import type { Tenant } from '../../src/db/tenant.ts';
import type { Unit } from '../../src/db/unit.ts';
import { newId } from '../../src/id.ts';
import { createLogger } from '../../src/log.ts';
import { daemonDatabase } from '../support/database.ts';

let testDatabase: Awaited<ReturnType<typeof daemonDatabase>>;
let database: Database;
beforeAll(async () => {
  testDatabase = await daemonDatabase();
  database = await openDatabase(loadConfig(testDatabase.env), createLogger('silent'));
});
afterAll(async () => {
  await database.close();
  await testDatabase.release();
});

/** Returns a tenant that counts its write transactions. */
async function newTenant(max_bytes: number | null = null) {
  const tenant = database.tenants(newId('t'));
  await tenant.write(async (db) => {
    await db.run('insert into tenants (tenant_id) values ($1)', [tenant.id]);
    await db.run('insert into tenant_clocks (tenant_id, max_bytes) values ($1, $2)', [tenant.id, max_bytes]);
  });
  const counted = { writes: 0 };
  const write: Tenant['write'] = (work) => {
    counted.writes += 1;
    return tenant.write(work);
  };
  return { tenant: { ...tenant, write }, counted };
}

const hash = (text: string) => sha256Of(Buffer.from(text)).toString('hex');
const bytes = Buffer.from('some bytes');
const place = { channel: 'private', sensitivity: 'none', user_id: 'alice' };

function store(tenant: Tenant, body = 'body', key: string | null = 'key') {
  const artifact_id = newId('art');
  const event = {
    event_id: newId('evt'),
    session_id: 's',
    actor_type: 'human',
    actor_id: 'alice',
    kind: 'artifact',
    content: {},
  };
  const unit: Unit = {
    key: key && hash(key),
    body: key && hash(body),
    bytes: bytes.length,
    events: [withArtifact({ ...event, ...place, tags: [], refs: [], metadata: {} }, artifact_id)],
  };
  return commitWithArtifacts(tenant, [{ artifact_id, media_type: 'text/plain', bytes, sha256: sha256Of(bytes), ...place }], unit);
}

const stored = async (tenant: Tenant) => {
  const row = await tenant.read((db) =>
    db.row<{ kept: number; unnamed: number }>(
      'select count(*) as kept, count(*) filter (where event_id is null) as unnamed from artifacts where tenant_id = $1',
      [tenant.id],
    ),
  );
  return row!;
};

test('a retry, and a key with another body, are answered before any bytes are stored', async () => {
  const { tenant, counted } = await newTenant();
  const first = await store(tenant);
  expect(first.status).toBe('new');
  const { writes } = counted;
  expect(await store(tenant)).toEqual({ ...first, status: 'replay' });
  expect((await store(tenant, 'another body')).status).toBe('conflict');
  expect(counted.writes).toBe(writes);
  expect(await stored(tenant)).toEqual({ kept: 1, unnamed: 0 });
});

test('a tenant that exceeds its quota is answered before any bytes are stored', async () => {
  const { tenant, counted } = await newTenant(2 * bytes.length);
  for (const key of ['a', 'b']) expect((await store(tenant, 'body', key)).status).toBe('new');
  const { writes } = counted;
  expect((await store(tenant, 'body', 'c')).status).toBe('quota');
  expect((await store(tenant, 'body', null)).status).toBe('quota');
  expect(counted.writes).toBe(writes);
});

test('one of several concurrent equal requests stores its bytes, and those of the others are deleted', async () => {
  const { tenant } = await newTenant();
  const outcomes = await Promise.all([store(tenant), store(tenant), store(tenant)]);
  expect(outcomes.map(({ status }) => status).sort()).toEqual(['new', 'replay', 'replay']);
  expect(await stored(tenant)).toEqual({ kept: 1, unnamed: 0 });
});

test.each([
  ['was rejected', new WriteQueueFull(), 0],
  ['was rolled back', Object.assign(new Error('canceling statement'), { code: '57014' }), 0],
  ['may still commit', new Error('Query read timeout'), 1],
  ['may have committed before the connection was lost', Object.assign(new Error('read'), { code: 'EPIPE' }), 1],
])('the bytes of a commit that %s are kept only if an event may still name them', async (_, error, unnamed) => {
  const { tenant } = await newTenant();
  await expect(store({ ...tenant, commit: () => Promise.reject(error) })).rejects.toBe(error);
  expect(await stored(tenant)).toEqual({ kept: unnamed, unnamed });
});
