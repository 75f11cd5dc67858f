import { sweepArtifacts } from '../../src/artifacts/index.ts';
import { loadConfig } from '../../src/config.ts';
import { type Database, openDatabase } from '../../src/db/index.ts';
import { startSweeper, sweepIdempotency } from '../../src/db/sweep.ts';
import { createLogger } from '../../src/log.ts';
import { daemonDatabase } from '../support/database.ts';

let given: Awaited<ReturnType<typeof daemonDatabase>>;
let database: Database;
const log = createLogger('silent');
beforeAll(async () => {
  given = await daemonDatabase();
  database = await openDatabase(loadConfig(given.env), log);
});
afterAll(async () => {
  await database.close();
  await given.release();
});

test('a walk of the sweeper removes what has expired from every tenant, in batches, and keeps the rest', async () => {
  for (const id of ['one', 'two'])
    await database.tenants(id).write(async (db) => {
      await db.run('insert into tenants (tenant_id) values ($1)', [id]);
      await db.run('insert into tenant_clocks (tenant_id) values ($1)', [id]);
      await db.run(
        `insert into idempotency_keys (tenant_id, key_hash, body_hash, outcome, created_at)
        select $1, sha256(i::text::bytea), '\\x00', '{}', now() - make_interval(hours => case when i <= 1500 then 49 else 47 end)
        from generate_series(1, 1600) i`,
        [id],
      );
      await db.run(
        `insert into artifacts (tenant_id, artifact_id, event_id, media_type, byte_count, sha256, bytes, channel, sensitivity, user_id, created_at)
        select $1, 'art_' || i, case when i = 1 then 'evt_1' end, 'text/plain', 1, '\\x00', '\\x00', 'private', 'none', 'a', now() - make_interval(days => case when i = 3 then 0 else 2 end)
        from generate_series(1, 3) i`,
        [id],
      );
    });
  const sweeper = startSweeper(database.tenants, [sweepIdempotency(48 * 3600), sweepArtifacts], log);
  expect(await sweeper.run()).toBe(2 * 1501);
  await sweeper.stop();
  for (const id of ['one', 'two']) {
    const left = await database
      .tenants(id)
      .read((db) =>
        db.rows<{ n: number; kept: string[] }>(
          'select (select count(*) from idempotency_keys where tenant_id = $1) as n, (select array_agg(artifact_id order by 1) from artifacts where tenant_id = $1) as kept',
          [id],
        ),
      );
    expect(left).toEqual([{ n: 100, kept: ['art_1', 'art_3'] }]);
  }
});
