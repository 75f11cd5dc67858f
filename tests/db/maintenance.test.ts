import { rmSync } from 'node:fs';
import { loadConfig } from '../../src/config.ts';
import { startEmbedded } from '../../src/db/embedded.ts';
import { vacuumTables } from '../../src/db/maintenance.ts';
import { createPool } from '../../src/db/pool.ts';
import { createLogger } from '../../src/log.ts';
import { cloneDataDir } from '../support/database.ts';

test('on the embedded engine the space of dead rows is reused, and tables have statistics', async () => {
  const data_dir = await cloneDataDir();
  const engine = await startEmbedded({ data_dir });
  const pool = createPool({ ...engine.connection, embedded: true }, loadConfig({ NODE_ENV: 'test' }), createLogger('silent'));
  const request = (statement: string) => pool.using(async (client) => (await client.query(statement)).rows);
  const known = async () =>
    (
      await request(`select reltuples::int as rows, pg_relation_size(oid)::int as bytes from pg_class where relname = 'words'`)
    )[0];
  try {
    await request('create table words (id int primary key, word text)');
    await request(`insert into words select n, repeat('w', 100) from generate_series(1, 5000) n`);
    expect(await known()).toMatchObject({ rows: -1 });
    await request(`update words set word = repeat('x', 100)`);
    expect(await vacuumTables(pool)).toContain('words');
    const { rows, bytes } = await known();
    expect(rows).toBe(5000);
    for (let i = 0; i < 4; i += 1) {
      await request(`update words set word = repeat('y', 100)`);
      await vacuumTables(pool);
    }
    expect((await known()).bytes).toBeLessThanOrEqual(bytes);
  } finally {
    await pool.end();
    await engine.stop();
    rmSync(data_dir, { recursive: true, force: true });
  }
}, 60_000);
