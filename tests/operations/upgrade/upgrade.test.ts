import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { migrateUp } from '../../../src/db/migrate.ts';
import { releaseIn } from '../../../src/db/release.ts';
import { withClient } from '../../support/cluster.ts';
import { freePort, type SpawnedDaemon, spawnDaemon } from '../../support/daemon.ts';
import { emptyDatabase } from '../../support/database.ts';
import { balance, callerOf, finds, type Load, readLog, register, startLoad, tour } from './callers.ts';
import { buildPrevious, findPrevious, newestMigration, nextRelease, type Release, thisRelease } from './releases.ts';

// Follows docs/upgrades.md: the schema first, then one daemon after the other, and back again. Upgrades from the previous release, if the history
// has one, and to a release with additional migrations of all kinds that an expanding release contains.

const dir = mkdtempSync(join(tmpdir(), 'agent-memory-upgrade-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const expand = `
alter table memories add column next_note text;
alter table events add column next_mark smallint not null default 0;
create index events__next_mark on events (tenant_id, next_mark) where next_mark > 0;
create table next_things (
  tenant_id text not null,
  thing_id text not null,
  constraint next_things_pkey primary key (tenant_id, thing_id)
);
select wall('next_things', 'select, insert');`;
const withExpansion = [{ sql: expand, min_code: newestMigration() }];
/** Functions that construct whole rows of a table are changed in the same release as the table. */
const grown = { folder: 'edits', from: 'e.carried_at', to: 'e.carried_at, e.next_mark' };
const withContraction = [...withExpansion, { sql: 'drop table next_things;', min_code: newestMigration() + 2 }];

const previous = findPrevious();
const pairs: [string, () => { old: Release; next: Release }][] = [
  [
    'this release → one that expands the schema',
    () => ({ old: thisRelease, next: nextRelease(join(dir, 'next'), withExpansion, grown) }),
  ],
];
if ('commit' in previous)
  pairs.unshift([
    'the release before → this one',
    () => ({ old: buildPrevious(previous.commit, join(dir, 'previous')), next: thisRelease }),
  ]);
else test.skip(`the release before → this one (skipped: ${previous.absent})`, () => undefined);

const UPDATE_MS = 280_000;
// Stops what a failed test has left running.
const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

const start = async (env: Env, release: Release, PORT?: string): Promise<SpawnedDaemon> => {
  const daemon = await spawnDaemon(env, PORT === undefined ? {} : { PORT }, release.root);
  endings.push(() => daemon.child.kill('SIGKILL'));
  return daemon;
};

const quiet = { info: () => undefined, warn: () => undefined };
type Env = Record<string, string>;

async function newDatabase(): Promise<{ env: Env; migrate(release: Release): Promise<number> }> {
  const { connection, release } = await emptyDatabase();
  endings.push(release);
  const { host, port, user, database } = connection;
  return {
    env: {
      PGHOST: host,
      PGPORT: String(port),
      PGUSER: user,
      PGDATABASE: database,
      MIGRATE_ON_START: 'false',
      SHUTDOWN_DELAY_MS: '3000',
    },
    migrate: ({ root }) => withClient(connection, (client) => migrateUp(client, releaseIn(root, 'dist'), quiet)),
  };
}

describe.each(pairs)('%s', (_pair, make) => {
  let old: Release;
  let next: Release;
  beforeAll(() => {
    ({ old, next } = make());
  }, UPDATE_MS);

  test(
    'the old release serves on the new schema next to the new one: each supports all requests, and reads what the other wrote',
    async () => {
      const database = await newDatabase();
      await database.migrate(next);
      const [before, after] = await Promise.all([start(database.env, old), start(database.env, next)]);
      const { caller, tenant_id } = await register(callerOf(() => [before.url]));
      const { caller: newcomer } = await register(callerOf(() => [after.url]));
      const token = (
        await caller.request('POST', '/auth/login', { tenant_id, username: 'alice', password: 'correct horse 9 battery' })
      ).body.access_token as string;
      const beside = callerOf(() => [after.url], token);
      await tour(caller, 'kestrel');
      await tour(beside, 'heron');
      await finds(caller, 'heron');
      await finds(beside, 'kestrel');
      await tour(newcomer, 'osprey');
      expect((await readLog(caller)).seqs).toEqual((await readLog(beside)).seqs);
    },
    UPDATE_MS,
  );

  test(
    'a rollout and a rollback under load fail no request, lose no acknowledged write, and leave no gap in the log',
    async () => {
      const database = await newDatabase();
      await database.migrate(old);
      const ports = [String(await freePort()), String(await freePort())];
      const daemons = await Promise.all(ports.map((PORT) => start(database.env, old, PORT)));
      const balancer = balance(daemons.map(({ url }) => url));
      endings.push(balancer.stop);
      const { caller } = await register(callerOf(balancer.order));
      const load = startLoad(caller);
      endings.push(load.stop);
      await served(load);
      await database.migrate(next);
      await served(load);
      for (const release of [next, old]) {
        await roll(daemons, ports, database.env, release, load);
      }
      await load.stop();
      const { seqs, ids } = await readLog(caller);
      expect(load.failures).toEqual([]);
      expect(load.acknowledged.filter((id) => !ids.has(id))).toEqual([]);
      expect(load.acknowledged.length).toBeGreaterThan(50);
      expect(seqs).toEqual(seqs.map((_, i) => i + 1));
      process.stderr.write(`${load.requests()} requests, ${load.acknowledged.length} events, 0 failed\n`);
    },
    UPDATE_MS,
  );
});

/** Replaces the daemons one after the other. Waits until each is ready and has served requests. */
async function roll(daemons: SpawnedDaemon[], ports: string[], env: Env, release: Release, load: Load): Promise<void> {
  for (const [i, PORT] of ports.entries()) {
    await daemons[i]!.kill('SIGTERM');
    expect(daemons[i]!.child.exitCode).toBe(0);
    daemons[i] = await start(env, release, PORT);
    await served(load);
  }
}

const SERVED = 40;
const SERVED_MS = 45_000;

/** Waits for further requests. */
async function served(load: Load): Promise<void> {
  const enough = load.requests() + SERVED;
  const deadline = Date.now() + SERVED_MS;
  while (load.requests() < enough && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50));
  expect([load.requests() >= enough, load.failures]).toEqual([true, []]);
}

test('a contracting release shuts out code that does not know it: the daemon prints why and does not start', async () => {
  const database = await newDatabase();
  const next = nextRelease(join(dir, 'contracted'), withContraction, grown);
  await database.migrate(next);
  const env = { PATH: process.env.PATH, ...database.env, PORT: '0', JWT_SECRET: 'only-for-tests-0123456789abcdefghijklmnop' };
  const started = spawnSync(process.execPath, ['dist/main.js'], {
    cwd: thisRelease.root,
    env,
    encoding: 'utf8',
    timeout: 25_000,
  });
  expect([started.status, started.stderr]).toEqual([
    1,
    expect.stringMatching(/only code that knows migration \d+ can live with.*Start a newer release/),
  ]);
}, 60_000);

test('code that is ahead of its schema does not start if MIGRATE_ON_START is false', async () => {
  const database = await newDatabase();
  await database.migrate(thisRelease);
  const next = nextRelease(join(dir, 'ahead'), withExpansion, grown);
  const env = { PATH: process.env.PATH, ...database.env, PORT: '0', JWT_SECRET: 'only-for-tests-0123456789abcdefghijklmnop' };
  const started = spawnSync(process.execPath, ['dist/main.js'], { cwd: next.root, env, encoding: 'utf8', timeout: 25_000 });
  expect([started.status, started.stderr]).toEqual([1, expect.stringContaining('npm run migrate -- up')]);
}, 60_000);
