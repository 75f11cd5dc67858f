import { MARK, messages } from './dialogue.ts';
import type { World } from './world.ts';

// Inserts the same rows without the service. The rows that the service stored for each message are read back and turned into statements for
// pgbench, so that all columns, constraints and indexes get the same values. Ids and seqs come from a sequence, times from the clock, and
// the number in the text from pgbench.

const NUMBER = '123456789012';
const TENANT = 'plain';

/** Returns a pgbench script per message: event and passage in one statement, optionally with the idempotency row. */
export async function insertRows(
  world: World,
  tenant: string,
  headers: Record<string, string>,
  withKey: boolean,
): Promise<string[]> {
  const { url } = await world.daemon('one');
  await insertTenant(world);
  const scripts: string[] = [];
  for (const message of messages) {
    const body = JSON.stringify(message).replaceAll(MARK, NUMBER);
    const answer = await fetch(`${url}/v1/events`, {
      method: 'POST',
      headers: { ...headers, 'Content-Type': 'application/json' },
      body,
    });
    const { seq } = (await answer.json()) as { seq: number };
    scripts.push(await scriptOf(world, tenant, seq, withKey));
  }
  return scripts;
}

/** Creates the tenant of the inserted rows, and the sequence of their seqs. */
export const insertTenant = (world: World): Promise<void> =>
  world.sql(async (client) => {
    await client.query(`insert into tenants (tenant_id) values ('${TENANT}') on conflict do nothing`);
    await client.query('create sequence if not exists bench_seq');
  });

function scriptOf(world: World, tenant: string, seq: number, withKey: boolean): Promise<string> {
  return world.sql(async (client) => {
    const read = async (table: string) => {
      const { rows } = await client.query<{ row: Record<string, unknown> }>(
        `select to_jsonb(t) - '{supersedes,session_key}'::text[] as row from ${table} t where tenant_id = $1 and seq = $2`,
        [tenant, seq],
      );
      return rows.map(({ row }) => row);
    };
    const [event] = await read('events');
    const [chunk, ...others] = await read('chunks');
    if (!event || !chunk || others.length > 0) throw new Error('the benchmark expects one passage per event');
    const key = withKey
      ? `, k as (
          insert into idempotency_keys (tenant_id, key_hash, body_hash, outcome, created_at)
          select '${TENANT}', sha256(lpad(n::text, 64, '0')::bytea), sha256(lpad(n::text, 63, '0')::bytea), jsonb_build_object('seq', n, 'count', 1), clock_timestamp()
          from s)`
      : '';
    return `${`\\set number random(1, 999999999)
      with s as materialized (select nextval('bench_seq') as n),
      e as (${insert('events', event)} from s)${key}
      ${insert('chunks', chunk)} from s cross join lateral (
        select passage_terms('english', ${expressionOf((event.content as { text: string }).text)}, ${expressionOf(chunk.header)}, clock_timestamp()) as terms) w;\n`.replaceAll(
      /\n\s*/g,
      (_, at: number) => (at < 40 ? '\n' : ' '),
    )}\n`;
  });
}

/** Expressions of the columns that differ between rows. */
const varying: Record<string, string> = {
  tenant_id: `'${TENANT}'`,
  seq: 'n',
  event_id: `'evt_' || lpad(n##text, 26, '0')`,
  occurred_at: 'clock_timestamp()',
  created_at: 'clock_timestamp()',
  terms: 'w.terms',
};

function insert(table: string, row: Record<string, unknown>): string {
  const columns = Object.keys(row).filter((name) => row[name] !== null);
  const values = columns.map((name) => {
    if (varying[name]) return varying[name].replace('##', '::');
    return `${expressionOf(row[name])}${typeOf(row[name])}`;
  });
  return `insert into ${table} (${columns.join(', ')}) select ${values.join(', ')}`;
}

const typeOf = (value: unknown) => (Array.isArray(value) ? '::text[]' : typeof value === 'object' ? '::jsonb' : '');

function expressionOf(value: unknown): string {
  if (typeof value === 'number') return String(value);
  const text = Array.isArray(value)
    ? `{${value.map((item) => JSON.stringify(item)).join(',')}}`
    : typeof value === 'string'
      ? value
      : JSON.stringify(value);
  return `(${text.split(NUMBER).map(literal).join(` || lpad(:number::text, ${NUMBER.length}, '0') || `)})`;
}

/** Escapes a literal. pgbench treats `:word` as a variable even inside a literal. */
export const literal = (text: string) => `U&'${text.replaceAll('\\', '\\\\').replaceAll("'", "''").replaceAll(':', '\\003A')}'`;
