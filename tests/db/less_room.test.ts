import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from 'pg';
import { entryOf } from '../../src/db/commit.ts';
import { MIGRATIONS_DIR, migrateUp } from '../../src/db/migrate.ts';
import { withClient } from '../support/cluster.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { theEngine } from '../support/engine.ts';

// Databases of older releases hold the text of every passage, and its words with their positions.

const BEFORE = 32;
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

const said = [
  {
    content: { text: 'The deploys to `api.example.com` fail, the café’s do not' },
    texts: ['The deploys to `api.example.com` fail, the café’s do not'],
  },
  { content: { text: 'One. Two.' }, texts: ['One. ', 'Two.'] },
  { content: { excerpt_text: 'exit code 1' }, texts: ['exit code 1'] },
  { content: { decision: 'use Postgres', rationale: 'it is there' }, texts: ['use Postgres\nit is there'] },
];

async function record(client: Client, tenant: string): Promise<void> {
  const events = said.map(({ content, texts }) => ({
    ...entryOf({ kind: 'message', session_id: 's1', channel: 'team', actor_type: 'human', actor_id: 'alice', content }),
    occurred_at: '2026-03-02T10:00:00Z',
    chunks: texts.map((text) => ({ text, header: 'alice topic', token_count: 3 })),
  }));
  await client.query('begin');
  await client.query(`select enter_tenant('${tenant}')`);
  await client.query(`insert into tenants (tenant_id) values ('${tenant}')`);
  await client.query(`insert into tenant_clocks (tenant_id) values ('${tenant}')`);
  await client.query('commit');
  await client.query(`select from commit_units('${tenant}', $1::jsonb)`, [
    JSON.stringify([{ key: null, body: null, bytes: 1, events }]),
  ]);
}

/** The passages of a tenant, with what they say. */
async function passages(client: Client, tenant: string) {
  await client.query('begin');
  await client.query(`select enter_tenant('${tenant}')`);
  const { rows } = await client.query(
    `select seq, ordinal, header, token_count, text, array(select unnest(terms) order by 1) as terms, occurred_at, passage_text(c) as said
     from chunks c order by seq, ordinal`,
  );
  await client.query('rollback');
  return rows;
}

test('an upgrade leaves the passages that the release writes itself: what they say and what they are found by', async () => {
  take((number) => number <= BEFORE);
  await withClient(database.connection, async (client) => {
    await migrateUp(client, dir, log);
    await record(client, 'older');
    take((number) => number > BEFORE);
    await migrateUp(client, dir, log);
    await record(client, 'newer');
    const upgraded = await passages(client, 'older');
    expect(upgraded).toEqual(await passages(client, 'newer'));
    expect(upgraded.map((row) => row.said)).toEqual(said.flatMap(({ texts }) => texts));
    // what its event says in one text is kept there alone
    expect(upgraded.map((row) => row.text === null)).toEqual([true, false, false, true, false]);
    const { rows } = await client.query(
      `select count(*)::int as found from pool('older', $1, array[term_key('deploy')], $2)
       cross join lateral json_array_elements(seqs)`,
      [
        { channel: 'team', channels: ['team'], sensitivities: ['none'], subjects: null, as_of_seq: 9 },
        { weights: [1], full: (await client.query(`select quote_literal(term_key('deploy')) as full`)).rows[0].full },
      ],
    );
    expect(rows).toEqual([{ found: 1 }]);
  });
}, 60_000);
