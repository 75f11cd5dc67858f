import { Client as Pg } from 'pg';
import { sweepArtifacts } from '../../src/artifacts/sql.ts';
import { sweepRefreshTokens, sweepResets, sweepSessions } from '../../src/auth/users_sql.ts';
import { loadConfig } from '../../src/config.ts';
import { type Database, openDatabase } from '../../src/db/index.ts';
import { type Sweep, startSweeper, sweepIdempotency } from '../../src/db/sweep.ts';
import type { Tenant } from '../../src/db/tenant.ts';
import { createLogger } from '../../src/log.ts';
import { newName, newTenant, send } from '../support/client.ts';
import { startTestDaemon } from '../support/daemon.ts';
import { daemonDatabase, testOnServer } from '../support/database.ts';

let copy: Awaited<ReturnType<typeof daemonDatabase>>;
let database: Database;
const log = createLogger('silent');
beforeAll(async () => {
  copy = await daemonDatabase();
  database = await openDatabase(loadConfig(copy.env), log);
});
afterAll(async () => {
  await database.close();
  await copy.release();
});

const oneBatch = (db: Database, id: string, work: string, values: unknown[] = []) =>
  db.tenants(id).write((session) => session.run(work, values));

async function makeTenant(id: string): Promise<Tenant> {
  const tenant = database.tenants(id);
  await tenant.write(async (db) => {
    await db.run('insert into tenants (tenant_id) values ($1)', [id]);
    await db.run('insert into tenant_clocks (tenant_id) values ($1)', [id]);
  });
  return tenant;
}

/** Stores an expired outcome, which the sweep of its tenant deletes. */
const addExpired = (id: string) =>
  oneBatch(
    database,
    id,
    `insert into idempotency_keys (tenant_id, key_hash, body_hash, outcome, created_at) values ($1, '\\x01', '\\x00', '{}', now() - interval '49 hours')`,
    [id],
  );
const countExpired = async (id: string) => {
  const row = await database
    .tenants(id)
    .read((db) => db.row<{ n: number }>('select count(*) as n from idempotency_keys where tenant_id = $1', [id]));
  return row!.n;
};
const lastWalk = async () =>
  (
    await database
      .tenants('')
      .call<{ last_failed: number; begun_at: string | null }>('select last_failed, begun_at from sweep_walks', [])
  )[0]!;

test('a run removes expired rows of every tenant in batches and keeps the others', async () => {
  for (const id of ['one', 'two']) {
    const tenant = await makeTenant(id);
    await tenant.write(async (db) => {
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
  }
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

test('a failed sweep of a tenant prevents neither its other sweeps nor the next tenants', async () => {
  for (const id of ['f-a', 'f-b', 'f-c']) {
    await makeTenant(id);
    await addExpired(id);
  }
  const fails: Sweep = async ({ id }) => {
    if (id === 'f-a') throw new Error('not this one');
    return 0;
  };
  const sweeper = startSweeper(database.tenants, [fails, sweepIdempotency(48 * 3600)], log);
  expect(await sweeper.run()).toBe(3);
  expect(sweeper.figures()).toEqual({ failed: 1, last_success_s: expect.any(Number), tallies: expect.any(Object) });
  expect(await lastWalk()).toEqual({ last_failed: 1, begun_at: null });
  await sweeper.stop();
});

testOnServer('it has one session')('a locked row of one tenant keeps no other from being swept', async () => {
  for (const id of ['l-a', 'l-b']) {
    await makeTenant(id);
    await addExpired(id);
  }
  const env = copy.env as Record<string, string>;
  const holder = new Pg({ host: env.PGHOST, port: Number(env.PGPORT), user: env.PGUSER, database: env.PGDATABASE });
  await holder.connect();
  const sweeper = startSweeper(database.tenants, [sweepIdempotency(48 * 3600)], log);
  try {
    await holder.query(`begin; select enter_tenant('l-a')`);
    await holder.query('select from idempotency_keys for update');
    await sweeper.run();
    expect([await countExpired('l-a'), await countExpired('l-b'), (await lastWalk()).last_failed]).toEqual([1, 0, 1]);
    await holder.query('rollback');
    await sweeper.run();
    expect([await countExpired('l-a'), (await lastWalk()).last_failed]).toEqual([0, 0]);
  } finally {
    await holder.end();
    await sweeper.stop();
  }
});

test('one sweeper runs at a time; an unfinished run resumes after the last tenant', async () => {
  for (const id of ['w-a', 'w-b', 'w-c']) await makeTenant(id);
  const seen: string[] = [];
  const note: Sweep = async ({ id }) => {
    if (id.startsWith('w-')) seen.push(id);
    return 0;
  };
  let goOn: () => void = () => undefined;
  const going = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  let begun: () => void = () => undefined;
  const began = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const slow: Sweep = async (tenant) => {
    begun();
    await going;
    return note(tenant, 1);
  };
  const first = startSweeper(database.tenants, [slow], log);
  const second = startSweeper(database.tenants, [note], log);
  const walk = first.run();
  await began;
  await second.run();
  expect(seen).toEqual([]);
  goOn();
  await walk;
  expect(seen.splice(0)).toEqual(['w-a', 'w-b', 'w-c']);
  // the state after a daemon died at w-b
  await database
    .tenants('')
    .call(`update sweep_walks set begun_at = now(), after = 'w-a', held_until = now() - interval '1 second'`, []);
  await second.run();
  expect(seen).toEqual(['w-b', 'w-c']);
  await first.stop();
  await second.stop();
});

test('sessions that ended weeks ago are removed with their tokens; active ones keep the tokens that detect reuse', async () => {
  await database.close();
  const daemon = await startTestDaemon({}, copy.env);
  const owner = await newTenant(daemon.url);
  const body = { tenant_id: owner.tenant_id, username: owner.username, password: 'correct horse 9 battery' };
  const logIn = async () =>
    (await send<{ refresh_token: string }>(daemon.url, 'POST', '/auth/login', { body })).body.refresh_token;
  const refresh = (refresh_token: string) =>
    send<{ refresh_token: string }>(daemon.url, 'POST', '/auth/refresh', { body: { refresh_token } });
  const rotated = await logIn();
  const next = (await refresh(rotated)).body.refresh_token;
  for (let i = 0; i < 3; i += 1) await refresh(await logIn());
  await daemon.stop();
  database = await openDatabase(loadConfig(copy.env), log);
  const tenant = database.tenants(owner.tenant_id);
  await tenant.write(async (db) => {
    const live = `(select session_id from refresh_tokens where tenant_id = $1 and token_id = $2)`;
    const others = `update sessions s set expires_at = now() - interval '60 days' where tenant_id = $1 and session_id <> ${live}`;
    expect(await db.run(others, [owner.tenant_id, next.split('.')[2]])).toBe(4);
    await db.run(
      `update sessions set expires_at = now() + interval '1 day', revoked_at = now() - interval '60 days'
      where tenant_id = $1 and session_id = (select min(session_id) from sessions where tenant_id = $1 and expires_at < now())`,
      [owner.tenant_id],
    );
    // used a while ago, within the lifetime of its session
    await db.run(`update refresh_tokens set rotated_at = now() - interval '1 hour' where tenant_id = $1 and token_id = $2`, [
      owner.tenant_id,
      rotated.split('.')[2],
    ]);
  });
  const sweeper = startSweeper(database.tenants, [sweepRefreshTokens, sweepSessions, sweepResets], log);
  expect(await sweeper.run()).toBe(4 + 7);
  await sweeper.stop();
  await database.close();
  const again = await startTestDaemon({}, copy.env);
  try {
    expect((await send(again.url, 'POST', '/auth/refresh', { body: { refresh_token: rotated } })).status).toBe(401);
    // the reuse ended the session
    expect((await send(again.url, 'POST', '/auth/refresh', { body: { refresh_token: next } })).status).toBe(401);
  } finally {
    await again.stop();
    database = await openDatabase(loadConfig(copy.env), log);
  }
});

test('the first run follows the start of a daemon, and its end is a metric', async () => {
  const id = newName('t');
  await makeTenant(id);
  await addExpired(id);
  await database.tenants('').call(`update sweep_walks set succeeded_at = '2000-01-01'`, []);
  await database.close();
  const daemon = await startTestDaemon({ SWEEP_DELAY_MS: '0' }, copy.env);
  try {
    const figure = async () => {
      const { body } = await send<string>(daemon.url, 'GET', '/metrics');
      return Number(/^agent_memory_sweep_last_success_timestamp_seconds (\S+)$/m.exec(body)?.[1] ?? 0);
    };
    const year2020 = Date.UTC(2020) / 1000;
    for (let i = 0; i < 600 && (await figure()) < year2020; i += 1) await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await figure()).toBeGreaterThan(year2020);
  } finally {
    await daemon.stop();
  }
  database = await openDatabase(loadConfig(copy.env), log);
  expect(await countExpired(id)).toBe(0);
});
