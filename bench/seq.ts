import { createHash } from 'node:crypto';
import type pg from 'pg';
import { loadConfig } from '../src/config.ts';
import { createWriteQueue } from '../src/db/commit.ts';
import { createPool } from '../src/db/pool.ts';
import type { Unit } from '../src/db/unit.ts';
import { newId } from '../src/id.ts';
import { createLogger } from '../src/log.ts';
import type { Passage } from '../src/passages/index.ts';
import { MARK, messages } from './dialogue.ts';
import { insertRows } from './plain-rows.ts';
import type { Figure } from './report.ts';
import { alternate, type Contestant, ratioFigure } from './rounds.ts';
import type { World } from './world.ts';

// Compares designs for allocating seqs, without HTTP: 64 callers in this process append events with an idempotency key.

const CALLERS = 64;
const ROUNDS = 5;
const SECONDS = 2;
const MANY = 20;

type Append = (tenant: string, unit: Unit) => Promise<unknown>;

export async function measureSeq(world: World): Promise<Figure[]> {
  await makeTenants(world);
  const rows = await insertRows(world, 'append', await world.tenant('append'), false);
  const { host, port, database } = world.plain;
  const log = createLogger('warn');
  const config = loadConfig({ PGHOST: host, PGPORT: String(port), PGUSER: 'memory', PGDATABASE: database });
  const pool = createPool({ host, port, user: 'memory', database, embedded: false }, config, log);
  const queue = (perTenant: number) =>
    createWriteQueue(
      pool,
      { maxQueued: 1000, maxQueuedBytes: 2 ** 28, parallel: 4, parallelLarge: 2, perTenant },
      log,
      () => undefined,
    ).commit;
  const [single, double] = [queue(1), queue(2)];
  const designs: Record<string, Append> = {
    'a transaction of several statements per request': (tenant, unit) =>
      pool.using((client) => inStatements(client, tenant, unit)),
    'one call per request': (tenant, unit) => pool.using((client) => oneCall(client, tenant, unit)),
    'group commit, one batch per tenant in flight': single,
    'group commit, two batches per tenant in flight': double,
  };
  const figures: Figure[] = [];
  for (const count of [1, MANY]) figures.push(...(await compare(world, rows, designs, count)));
  await pool.end();
  return figures;
}

async function compare(world: World, rows: string[], designs: Record<string, Append>, tenants: number): Promise<Figure[]> {
  const contestants: Contestant[] = Object.entries(designs).map(([name, append]) => ({
    name,
    run: (seconds) => load(append, tenants, seconds),
  }));
  const rates = await alternate(
    [{ name: 'pgbench', run: (seconds) => world.pgbench.tps('rows', rows, 16, seconds) }, ...contestants],
    ROUNDS,
    SECONDS,
  );
  const whom = tenants === 1 ? 'one tenant' : `${tenants} tenants`;
  return Object.keys(designs).map((name) => ratioFigure(rates, 'seq', `${name} ÷ pgbench, ${whom}`, name, 'pgbench'));
}

async function load(append: Append, tenants: number, seconds: number): Promise<number> {
  const until = performance.now() + seconds * 1000;
  let count = 0;
  const caller = async (index: number) => {
    for (; performance.now() < until; count += 1) await append(`seq_${index % tenants}`, unitOf());
  };
  await Promise.all(Array.from({ length: CALLERS }, (_, i) => caller(i)));
  return count / seconds;
}

let made = 0;

function unitOf(): Unit {
  made += 1;
  const message = messages[made % messages.length]!;
  const text = message.content.text.replace(MARK, String(made).padStart(12, '0'));
  const { session_id, channel, kind, tags } = message;
  const [actor_type, actor_id] = ['human', 'alice'];
  return {
    key: sha256(`key ${made} ${process.pid}`),
    body: sha256(`body ${made}`),
    bytes: 900,
    events: [
      {
        ...{ event_id: newId('evt'), session_id, channel, actor_type, actor_id, kind, content: { text }, user_id: 'bench' },
        ...{ sensitivity: 'none', tags, refs: [], metadata: {}, chunk_count: 1 },
        effects: { passages: { chunks: [{ text, header: 'alice', token_count: 80 }] } },
      },
    ],
  };
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

const oneCall = (client: pg.PoolClient, tenant: string, unit: Unit) =>
  client.query({ name: 'one_call', text: 'select * from commit_units($1, $2::jsonb)', values: [tenant, JSON.stringify([unit])] });

/** Locks the counter for four round trips. All statements are named, and `begin` is sent together with the first. */
async function inStatements(client: pg.PoolClient, tenant: string, { key, body, events: [event] }: Unit): Promise<void> {
  const run = (name: string, text: string, values: unknown[]) => client.query<{ last_seq: number }>({ name, text, values });
  const { effects, content, metadata, ...row } = event!;
  const [chunk] = (effects!.passages as { chunks: Passage[] }).chunks;
  const begun = client.query('begin');
  const entered = run('enter', 'select enter_tenant($1)', [tenant]);
  const { rows } = await run(
    'tick',
    'update tenant_clocks set last_seq = last_seq + 1, event_count = event_count + 1 where tenant_id = $1 returning last_seq',
    [tenant],
  );
  await Promise.all([begun, entered]);
  const seq = rows[0]!.last_seq;
  await run(
    'event',
    `insert into events (
      tenant_id, seq, event_id, session_id, channel, actor_type, actor_id, kind, content, user_id, sensitivity, tags, metadata, chunk_count, occurred_at, created_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 1, clock_timestamp(), clock_timestamp())`,
    [
      tenant,
      seq,
      row.event_id,
      row.session_id,
      row.channel,
      row.actor_type,
      row.actor_id,
      row.kind,
      content,
      row.user_id,
      row.sensitivity,
      row.tags,
      metadata,
    ],
  );
  await run(
    'chunk',
    `insert into chunks (
      tenant_id, seq, ordinal, kind, session_id, channel, sensitivity, user_id, header, token_count, terms, occurred_at)
    values ($1, $2, 0, $3, $4, $5, $6, $7, $9, $10, passage_terms('english', $8, $9, clock_timestamp()), clock_timestamp())`,
    [
      tenant,
      seq,
      row.kind,
      row.session_id,
      row.channel,
      row.sensitivity,
      row.user_id,
      chunk!.text,
      chunk!.header,
      chunk!.token_count,
    ],
  );
  await run(
    'key',
    `insert into idempotency_keys (tenant_id, key_hash, body_hash, outcome, created_at)
    values ($1, decode($2, 'hex'), decode($3, 'hex'), jsonb_build_object('seq', $4::bigint, 'count', 1), clock_timestamp())`,
    [tenant, key, body, seq],
  );
  await client.query('commit');
}

async function makeTenants(world: World): Promise<void> {
  await world.sql(async (client) => {
    for (let i = 0; i < MANY; i += 1) {
      await client.query('insert into tenants (tenant_id) values ($1)', [`seq_${i}`]);
      await client.query('insert into tenant_clocks (tenant_id) values ($1)', [`seq_${i}`]);
    }
  });
}
