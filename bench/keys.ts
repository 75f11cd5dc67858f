import pg from 'pg';
import type { Figure } from './report.ts';
import { alternate, ratioFigure } from './rounds.ts';
import type { World } from './world.ts';

const EVENTS = 50_000;
const ROUNDS = 5;
const SECONDS = 2;
const LOOPS = 16;
const CONNECTIONS = 10;

const SIGHT = `'{private,public,team,agent}', null, '{none,low,high,secret}'`;
const walled = (id: string) => `select * from read_events('keys', array[${id}], ${SIGHT}, 16384)`;
const plain = (id: string) => `select * from events where tenant_id = 'keys' and event_id = ${id}`;

/**
 * Measures the cost of row-level security in a lookup by id: for an application (16 loops, 10 connections of pg, named statements) and in PostgreSQL
 * alone (pgbench).
 */
export async function measureKeys(world: World): Promise<Figure[]> {
  await makeEvents(world);
  const number = `\\set n random(1, ${EVENTS})\n`;
  const pgbench = (name: string, sql: string) => ({
    name,
    run: (seconds: number) => world.pgbench.tps(name, [`${number}${sql};\n`], LOOPS, seconds),
  });
  const pool = new pg.Pool({ ...world.plain, max: CONNECTIONS });
  const loops = (name: string, text: string) => ({ name, run: (seconds: number) => request(pool, { name, text }, seconds) });
  const rates = await alternate(
    [
      loops('walled', walled('$1')),
      loops('plain', plain('$1')),
      pgbench('pgbench-walled', walled(`'evt_' || :n`)),
      pgbench('pgbench-plain', plain(`'evt_' || :n`)),
    ],
    ROUNDS,
    SECONDS,
  );
  await pool.end();
  return [
    ratioFigure(rates, 'keys', 'isolated key read ÷ plain, through pg', 'walled', 'plain', { min: 0.85 }),
    ratioFigure(rates, 'keys', 'isolated key read ÷ plain, by pgbench (PostgreSQL alone)', 'pgbench-walled', 'pgbench-plain'),
  ];
}

async function request(pool: pg.Pool, statement: { name: string; text: string }, seconds: number): Promise<number> {
  const until = performance.now() + seconds * 1000;
  let count = 0;
  const loop = async () => {
    for (; performance.now() < until; count += 1) {
      const { rowCount } = await pool.query({ ...statement, values: [`evt_${1 + ((count * 7919) % EVENTS)}`] });
      if (rowCount !== 1) throw new Error('an event was not found');
    }
  };
  await Promise.all(Array.from({ length: LOOPS }, loop));
  return count / seconds;
}

async function makeEvents(world: World): Promise<void> {
  await world.sql(async (client) => {
    await client.query(`insert into tenants (tenant_id) values ('keys')`);
    await client.query(
      `insert into events (
        tenant_id, seq, event_id, session_id, channel, actor_type, actor_id, kind, content, user_id, sensitivity, occurred_at, created_at)
      select 'keys', i, 'evt_' || i, 's1', 'team', 'human', 'alice', 'message', jsonb_build_object('text', repeat('word ', 60)), 'alice', 'none', now(), now()
      from generate_series(1, $1::int) i`,
      [EVENTS],
    );
    await client.query('vacuum analyze events');
  });
}
