import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from 'pg';
import { entryOf } from '../../src/db/commit.ts';
import { MIGRATIONS_DIR, migrateUp } from '../../src/db/migrate.ts';
import { sha256Hex } from '../../src/memories/index.ts';
import { withClient } from '../support/cluster.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { theEngine } from '../support/engine.ts';

// Databases of older releases hold shared tasks that were split between the users who moved them.

const BEFORE = 21;
let database: TestDatabase;
let dir: string;
beforeAll(async () => {
  database = await emptyDatabase();
  dir = mkdtempSync(join(theEngine().run_dir, 'migrations-'));
});
afterAll(async () => {
  rmSync(dir, { recursive: true });
  await database.release();
});

const log = { info: () => undefined, warn: () => undefined };
const take = (wanted: (number: number) => boolean) => {
  for (const name of readdirSync(MIGRATIONS_DIR))
    if (/^\d{4}_/.test(name) && wanted(Number(name.slice(0, 4)))) cpSync(join(MIGRATIONS_DIR, name), join(dir, name));
};

async function move(client: Client, user_id: string, status: string, channel = 'team'): Promise<string> {
  const row = entryOf({
    kind: 'task_update',
    session_id: 's1',
    channel,
    user_id,
    actor_type: 'human',
    actor_id: user_id,
    content: { task_id: 'T-1', title: 'Write the guide', status },
  });
  const memory = {
    memory_id: `mem_${row.event_id.slice(4)}`,
    kind: 'task',
    scope: 'global',
    status: 'active',
    text_hash: sha256Hex('T-1'),
    importance: 0.8,
    pinned: false,
    task_status: status,
    task_ref: 'T-1',
  };
  const chunks = [{ text: 'Write the guide', header: '', token_count: 3 }];
  const unit = { key: null, body: null, bytes: 100, events: [{ ...row, chunks, memory }] };
  await client.query('begin');
  const { rows } = await client.query(`select memories from commit_units('acme', $1::jsonb)`, [JSON.stringify([unit])]);
  await client.query('commit');
  return rows[0].memories[0];
}

test('an upgrade makes one task of a shared one that was split, and leaves private ones apart', async () => {
  take((number) => number <= BEFORE);
  await withClient(database.connection, async (client) => {
    await migrateUp(client, dir, log);
    await client.query(`begin; select enter_tenant('acme'); insert into tenants (tenant_id) values ('acme');
      insert into tenant_clocks (tenant_id) values ('acme'); commit`);
    const hers = await move(client, 'alice', 'open');
    const his = await move(client, 'bob', 'doing');
    const private_ = [await move(client, 'alice', 'open', 'private'), await move(client, 'bob', 'open', 'private')];
    expect(hers).not.toBe(his);
    take((number) => number > BEFORE);
    await migrateUp(client, dir, log);
    expect(await move(client, 'alice', 'blocked')).toBe(his);
    await client.query(`begin; select enter_tenant('acme')`);
    const { rows } = await client.query('select memory_id, status, version, superseded_by from memories order by created_at');
    expect(rows).toEqual([
      { memory_id: hers, status: 'superseded', version: 2, superseded_by: his },
      { memory_id: his, status: 'active', version: 2, superseded_by: null },
      ...private_.map((memory_id) => ({ memory_id, status: 'active', version: 1, superseded_by: null })),
    ]);
    for (const check of ['check_memories', 'check_successors'])
      expect((await client.query(`select wrong, sample from ${check}('acme', '', 100)`)).rows).toEqual([
        { wrong: '0', sample: [] },
      ]);
    const { rows: checks } = await client.query(`select name, sample from check_log('acme', 1, 5) where wrong > 0`);
    expect(checks).toEqual([]);
    await client.query('rollback');
  });
}, 60_000);
