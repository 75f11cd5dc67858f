import type { Client } from 'pg';
import { createGenerator, fillTenant, replaceWords } from './corpus.ts';
import type { World } from './world.ts';

/** Number of passages of the tenants that are searched. */
export const SIZES = { t4: 10_000, t5: 100_000, t6: 1_000_000 };
const TENANTS = 100;
const OTHERS = 1000;
const STEP = 50_000;

let loaded: { words: string[] | undefined; done: Promise<void> } | undefined;

/**
 * Creates a hundred tenants: three with 10⁴, 10⁵ and 10⁶ passages, and 97 small ones. The smaller tenants get copies of the first texts of the largest. The texts
 * consist of these words, most frequent first, or of invented ones.
 */
export const loadTenants = (world: World, words?: string[]): Promise<void> => {
  loaded ??= { words, done: load(world, words) };
  if (loaded.words !== words) throw new Error('The tenants have been loaded with other words: run this part alone.');
  return loaded.done;
};

async function load(world: World, words?: string[]): Promise<void> {
  const started = performance.now();
  await Promise.all(Object.keys(SIZES).map((id) => world.tenant(id)));
  const definition = await world.sql((client) => dropIndex(client));
  const steps = Array.from({ length: SIZES.t6 / STEP }, (_, i) => 1 + i * STEP);
  await Promise.all(
    [0, 1].map((half) =>
      world.sql((client) =>
        fill(
          client,
          steps.filter((_, i) => i % 2 === half),
          words,
        ),
      ),
    ),
  );
  await world.sql(async (client) => {
    await client.query("set session_replication_role = 'replica'");
    await copy(client, 't5', SIZES.t5);
    await copy(client, 't4', SIZES.t4);
    for (let i = 4; i <= TENANTS; i += 1) await copy(client, `small_${i}`, OTHERS);
    await client.query("set session_replication_role = 'origin'");
    process.stderr.write(`  ${SIZES.t6} passages and their copies in ${secondsSince(started)} s\n`);
    await client.query(definition);
    await client.query('vacuum analyze events, chunks, tenants, tenant_clocks');
    await client.query('checkpoint');
  });
  process.stderr.write(`  indexed in ${secondsSince(started)} s\n`);
}

const secondsSince = (started: number) => Math.round((performance.now() - started) / 1000);

/** Drops the full-text index and returns its definition. Rebuilding it after the load takes a fraction of the time. */
async function dropIndex(client: Client): Promise<string> {
  const { rows } = await client.query<{ indexdef: string }>(`select indexdef from pg_indexes where indexname = 'chunks__search'`);
  await client.query('drop index chunks__search');
  return rows[0]!.indexdef;
}

async function fill(client: Client, steps: number[], words?: string[]): Promise<void> {
  await client.query("set session_replication_role = 'replica'");
  await client.query(createGenerator);
  if (words) await client.query(replaceWords, [words]);
  await client.query('analyze words');
  for (const from of steps) await client.query(fillTenant, ['t6', from, from + STEP - 1, from / SIZES.t6]);
  await client.query('update tenant_clocks set last_seq = $2, event_count = $2 where tenant_id = $1', ['t6', SIZES.t6]);
}

async function copy(client: Client, tenant: string, count: number): Promise<void> {
  await client.query('insert into tenants (tenant_id) values ($1) on conflict do nothing', [tenant]);
  await client.query(
    `insert into tenant_clocks (tenant_id, last_seq, event_count) values ($1, $2, $2)
    on conflict (tenant_id) do update set last_seq = excluded.last_seq, event_count = excluded.event_count`,
    [tenant, count],
  );
  for (const table of ['events', 'chunks']) {
    const { rows } = await client.query<{ columns: string }>(
      `select string_agg(attname, ', ' order by attnum) as columns
      from pg_attribute
      where attrelid = $1::regclass and attnum > 0 and not attisdropped and attgenerated = '' and attname <> 'tenant_id'`,
      [table],
    );
    const columns = rows[0]!.columns;
    await client.query(
      `insert into ${table} (tenant_id, ${columns}) select $1, ${columns} from ${table} where tenant_id = 't6' and seq <= $2`,
      [tenant, count],
    );
  }
}

/** Returns queries of four words that occur together in one of the first ten thousand passages, which all three tenants have. */
export async function questions(world: World, count: number): Promise<string[]> {
  const { rows } = await world.sql((client) =>
    client.query<{ text: string }>(
      `select passage_text(c) as text from chunks c where tenant_id = 't4' and seq % ($1::bigint / $2::bigint) = 7 order by seq limit $2`,
      [SIZES.t4, count],
    ),
  );
  return rows.map(({ text }, i) => {
    const words = text.split(' ');
    return [1, 3, 4, 6].map((n) => words[(n * (i + 1)) % words.length]).join(' ');
  });
}
