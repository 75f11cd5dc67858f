import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../src/config.ts';
import { type DoctorOptions, type Finding, runChecks } from '../../src/doctor/index.ts';
import { withClient } from '../support/cluster.ts';
import { freePort, spawnDaemon } from '../support/daemon.ts';
import { cloneDataDir, daemonDatabase, describeOnServer, emptyDatabase } from '../support/database.ts';
import { testEngine } from '../support/engine.ts';

// The findings for each problem. Tests that need a separate server or openssl are in tests/operations/doctor.

const SECRET = 'kQ0v1n4y8bq6fC2m9sT3xZ7wL5pR1dHj';
const CAPABILITY_KEY = 'q3Zk0pJ8vT1mXy7wRb5sLd9hGf2cNa4eUiOoKj6YtWQ=';
const dir = mkdtempSync(join(tmpdir(), 'agent-memory-doctor-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const options = { daemons: 2, certificates: join(dir, 'none'), backup_hours: 26 };
const look = async (env: Record<string, string>, more: Partial<DoctorOptions> = {}): Promise<Finding[]> =>
  runChecks(loadConfig({ NODE_ENV: 'test', PORT: '0', HOST: '127.0.0.1', DATA_DIR: dir, ...env }), { ...options, ...more });
/** Formats the findings of a check: state, message and next command. */
const about = (findings: Finding[], check: string): string =>
  findings
    .filter((one) => one.check === check)
    .map(({ state, says, next }) => `${state}: ${says}${next ? ` → ${next}` : ''}`)
    .join('\n');
const notWell = (findings: Finding[]) => findings.filter(({ state }) => state === 'failed');

test('a healthy database has no failed check, and row-level security was tested', async () => {
  const database = await daemonDatabase();
  const findings = await look(database.env, { daemons: 1 });
  await database.release();
  expect(notWell(findings)).toEqual([]);
  expect(about(findings, 'database')).toMatch(/^ok: PostgreSQL 1\d.*UTF8/m);
  expect(about(findings, 'wall')).toMatch(/^ok: [2-9]\d tables have row-level security; no rows are visible without a tenant$/);
  expect(about(findings, 'migrations')).toMatch(/^ok: \d+ applied, none modified$/);
  expect(about(findings, 'clock')).toMatch(/^ok/);
  expect(about(findings, 'search')).toMatch(/^ok: lexical/);
}, 60_000);

/** Returns the findings of a migrated database after its owner ran `sql`. */
async function lookAfter(sql: string, env: Record<string, string> = {}, more: Partial<DoctorOptions> = {}): Promise<Finding[]> {
  const database = await daemonDatabase();
  const { PGHOST, PGPORT, PGUSER, PGDATABASE } = database.env;
  const connection = { host: PGHOST!, port: Number(PGPORT), user: PGUSER!, database: PGDATABASE! };
  await withClient(connection, (client) => client.query(sql));
  const findings = await look({ ...database.env, ...env }, more);
  await database.release();
  return findings;
}

describeOnServer('there is no server to check', () => {
  test('a table without row-level security is reported with the statement that enables it', async () => {
    const findings = await lookAfter('alter table events no force row level security');
    expect(about(findings, 'wall')).toMatch(
      /^failed: row-level security of events.*alter table events force row level security/m,
    );
  });

  test('a policy that allows everything is detected', async () => {
    const sql = `insert into tenants (tenant_id) values ('acme'); create policy open on tenants to agent_memory_app using (true)`;
    // row-level security applies to the owner too
    const findings = await lookAfter(
      `alter table tenants no force row level security; ${sql}; alter table tenants force row level security`,
    );
    expect(about(findings, 'wall')).toMatch(/^failed: agent_memory_app sees rows without a tenant/m);
  });

  test.each([
    [
      'pending',
      'delete from schema_migrations where version > 12',
      /^failed: \d+ are pending, from 0013_webhooks.*npm run migrate -- up/,
    ],
    [
      'altered',
      `update schema_migrations set hash = 'x' where version = 3`,
      /^failed: .*0003_passages.sql was edited after it had been applied/,
    ],
    [
      'functions',
      `update schema_functions set hash = 'x' where folder = 'search'`,
      /^failed: the SQL functions of search are older than this release.*npm run migrate -- up/,
    ],
    [
      'newer, and allowed',
      `insert into schema_migrations select max(version) + 1, 'next', 'x', 7 from schema_migrations`,
      /^warning: the database has 1 of a newer release, which are compatible with this one/,
    ],
  ])('migrations that are %s are reported', async (_what, sql, expected) => {
    expect(about(await lookAfter(sql), 'migrations')).toMatch(expected);
  });

  test('an empty database has pending migrations and no tables to check', async () => {
    const { connection, release } = await emptyDatabase();
    const { host, port, user, database } = connection;
    const findings = await look({ PGHOST: host, PGPORT: String(port), PGUSER: user, PGDATABASE: database });
    await release();
    expect(about(findings, 'migrations')).toMatch(/^failed: .* from 0001_wall/);
    expect(about(findings, 'wall')).toMatch(/^skipped/);
  });

  test('too many connections are reported with a PGPOOL_MAX that fits', async () => {
    const findings = await lookAfter('select 1', { PGPOOL_MAX: '150' }, { daemons: 4 });
    expect(about(findings, 'connections')).toMatch(/^failed: 4 daemons use up to 4 × 151 .* → .*PGPOOL_MAX=4\d$/);
  });

  test('behind a pooler the settings of the role apply to statements', async () => {
    const findings = await lookAfter('select 1', { PG_POOLER: 'true' });
    expect(about(findings, 'statements')).toMatch(/warning: jit is on: a pooler drops.*alter role memory set jit = 'off'/);
    expect(about(findings, 'connections')).toMatch(/^skipped: .*max_client_conn must be at least 47/);
  });

  test('statement settings are read like those of the daemon', async () => {
    const findings = await lookAfter('select 1', { PGSTATEMENT_TIMEOUT: '4321' });
    expect(about(findings, 'statements')).toBe(
      'ok: jit off, statement_timeout 4321 ms, lock_timeout 2000 ms, idle_in_transaction_session_timeout 10000 ms',
    );
  });

  test.each([
    ['not there', { PGDATABASE: 'no_such_database' }, /^failed: .*no_such_database.*createdb .*no_such_database/],
    ['of a user that is not there', { PGUSER: 'nobody_of_this_name' }, /^failed: it rejects the login.*pg_hba.conf/],
  ])('a database %s is reported with the next command', async (_what, env, expected) => {
    const engine = testEngine();
    const { host, port } = engine.kind === 'postgres' ? engine.cluster.admin : { host: '', port: 0 };
    expect(about(await look({ PGHOST: host, PGPORT: String(port), ...env }), 'database')).toMatch(expected);
  });
});

test('an unreachable server and an unknown host are reported without the password', async () => {
  const port = String(await freePort());
  const gone = await look({ DATABASE_URL: `postgres://memory:kept-to-itself-9@127.0.0.1:${port}/agent_memory` });
  expect(about(gone, 'database')).toMatch(
    new RegExp(`^failed: .*127.0.0.1:${port}/agent_memory.*→ pg_isready -h 127.0.0.1 -p ${port}`),
  );
  const nowhere = await look({ PGHOST: 'db.invalid', PGPASSWORD: 'kept-to-itself-9' });
  expect(about(nowhere, 'database')).toMatch(/^failed: .*getent hosts db.invalid/);
  expect(JSON.stringify([gone, nowhere])).not.toContain('kept-to-itself');
});

test('an embedded directory in use is checked through its daemon; a missing one is not created', async () => {
  const DATA_DIR = await cloneDataDir();
  const daemon = await spawnDaemon({ DATA_DIR, COMPAT_TENANT: 'demo' });
  const findings = await look({ DATA_DIR, PORT: new URL(daemon.url).port, HOST: '127.0.0.1' });
  const elsewhere = await look({ DATA_DIR });
  await daemon.kill('SIGTERM');
  rmSync(DATA_DIR, { recursive: true, force: true });
  expect(about(findings, 'database')).toMatch(/^ok: embedded in .*, in use by the process \d+, whose daemon is healthy/);
  expect(about(findings, 'port')).toMatch(/^ok: a daemon answers on \d+, healthy, up for \d+ s$/);
  expect(about(elsewhere, 'database')).toMatch(/^warning: .*no daemon answers on 0.*ps -p \d+/);
  expect(about(await look({ DATA_DIR: join(dir, 'new') }), 'database')).toMatch(/^skipped: .*none yet/);
}, 60_000);

test('a port used by another program is reported with the program', async () => {
  const squatter = createServer((socket) => socket.end('220 not HTTP\r\n')).listen(0, '127.0.0.1');
  await once(squatter, 'listening');
  const { port } = squatter.address() as { port: number };
  const findings = about(await look({ PORT: String(port) }), 'port');
  squatter.close();
  const who = process.platform === 'linux' ? `\\w.* \\(pid ${process.pid}\\)` : 'another program';
  expect(findings).toMatch(new RegExp(`^failed: ${port} is taken by ${who}, .*ss -ltnp`));
});

test.each([
  ['repeated', { JWT_SECRET: 'ab'.repeat(32) }, /failed: JWT_SECRET is guessable/],
  ['an example', { JWT_SECRET: 'change-this-secret-0123456789abcdefgh' }, /failed: JWT_SECRET is an example value.*openssl rand/],
  ['the same twice', { JWT_SECRET: SECRET, AUDIT_KEY: SECRET }, /failed: JWT_SECRET and AUDIT_KEY are equal/],
  [
    'absent in production',
    { NODE_ENV: 'production', JWT_SECRET: SECRET },
    /warning: no ENCRYPTION_KEY[\s\S]*warning: no CAP_KEY_ACTIVE: there are no capabilities[\s\S]*warning: no AUDIT_KEY/,
  ],
  [
    'a key of capabilities that repeats few characters',
    { JWT_SECRET: SECRET, CAP_KEY_ACTIVE: 'ABAB'.repeat(11) },
    /failed: CAP_KEY_ACTIVE is guessable/,
  ],
  [
    'a key of capabilities that is also another secret',
    { JWT_SECRET: CAPABILITY_KEY, CAP_KEY_ACTIVE: CAPABILITY_KEY },
    /failed: JWT_SECRET and CAP_KEY_ACTIVE are equal/,
  ],
  [
    'a key of capabilities in the third step of a rotation',
    { JWT_SECRET: SECRET, CAP_KEY_ACTIVE: CAPABILITY_KEY, CAP_KEY_NEXT: CAPABILITY_KEY, CAP_KEY_NEXT_ID: 'active' },
    /^ok: JWT_SECRET, CAP_KEY_ACTIVE, CAP_KEY_NEXT$/,
  ],
  ['sound', { JWT_SECRET: SECRET }, /^ok: JWT_SECRET$/],
])('a secret that is %s', async (_what, env: Record<string, string>, expected) => {
  const findings = await look({ DATA_DIR: join(dir, 'new'), ...env });
  expect(about(findings, 'secrets')).toMatch(expected);
  for (const value of Object.values(env).filter((one) => one.length > 20)) expect(JSON.stringify(findings)).not.toContain(value);
});

test('a development secret that is readable by others is reported', async () => {
  const DATA_DIR = mkdtempSync(join(dir, 'data-'));
  writeFileSync(join(DATA_DIR, 'jwt-secret'), SECRET);
  chmodSync(join(DATA_DIR, 'jwt-secret'), 0o644);
  expect(about(await look({ DATA_DIR }), 'secrets')).toMatch(/^failed: .*jwt-secret is readable by other users → chmod 600 /);
});

test('missing and late backups are reported; incomplete ones do not count', async () => {
  const backups = mkdtempSync(join(dir, 'backups-'));
  const findings = async () => about(await look({}, { backups }), 'backups');
  expect(await findings()).toMatch(/^failed: .* has no backup/);
  const finished = (name: string, hours: number) => {
    mkdirSync(join(backups, name));
    writeFileSync(join(backups, name, 'database.dump'), 'PGDMP');
    const then = new Date(Date.now() - hours * 3_600_000);
    utimesSync(join(backups, name, 'database.dump'), then, then);
  };
  finished('backup_20261101_020000', 50);
  finished('.partial_backup_20261121_020000', 1);
  expect(await findings()).toMatch(/^failed: the newest of 1 .* is 50 h old/);
  finished('backup_20261121_020000', 3);
  expect(await findings()).toMatch(/^ok: the newest of 2 .* is 3 h old/);
});

test('an ADMIN_PORT that is in use is reported while no daemon runs', async () => {
  const squatter = createServer().listen(0, '127.0.0.1');
  await once(squatter, 'listening');
  const ADMIN_PORT = String((squatter.address() as { port: number }).port);
  const PORT = String(await freePort());
  const taken = about(await look({ PORT, ADMIN_PORT }), 'port');
  squatter.close();
  await once(squatter, 'close');
  expect(taken).toMatch(new RegExp(`^ok: .* is free.*\n^failed: .*ADMIN_PORT ${ADMIN_PORT} \\(EADDRINUSE\\) → ss `, 'm'));
  expect(about(await look({ PORT, ADMIN_PORT }), 'port')).toMatch(/^ok: .* is free: no daemon runs here$/);
});

test('an unreachable Redis is reported without its password', async () => {
  const port = await freePort();
  const findings = await look({ REDIS_URL: `redis://:kept-to-itself-9@127.0.0.1:${port}` });
  expect(about(findings, 'redis')).toMatch(new RegExp(`^failed: 127.0.0.1:${port}: .*ECONNREFUSED.*redis-cli`));
  expect(JSON.stringify(findings)).not.toContain('kept-to-itself');
});

test('the command prints a table or JSON, exits with 1 if a check failed, and reads settings from a file', async () => {
  const file = join(dir, 'env');
  writeFileSync(
    file,
    `NODE_ENV=production\nJWT_SECRET=<generate-with-openssl-rand-base64-32>\nPGHOST=db.invalid\nPGPASSWORD=kept-to-itself-9\n`,
  );
  const placeholder = await run(['--env-file', file]);
  expect(placeholder).toMatchObject({
    code: 1,
    out: expect.stringMatching(/^FAILED {2}settings[\s\S]*JWT_SECRET: got an example value[\s\S]*→ .*env.example/),
  });
  writeFileSync(
    file,
    `NODE_ENV=production\nJWT_SECRET=${SECRET}\nPGHOST=db.invalid\nPGPASSWORD=kept-to-itself-9\nPORT=0\nDATA_DIR=${dir}\n`,
  );
  const unreachable = await run(['--env-file', file, '--json']);
  const report = JSON.parse(unreachable.out) as { failed: number; findings: Finding[] };
  expect([unreachable.code, report.failed, about(report.findings, 'database')]).toEqual([
    1,
    1,
    expect.stringMatching(/^failed: .*db.invalid/),
  ]);
  expect(placeholder.out + unreachable.out).not.toMatch(new RegExp(`kept-to-itself|${SECRET}`));
}, 60_000);

async function run(args: string[]): Promise<{ code: number; out: string }> {
  const root = join(import.meta.dirname, '../..');
  const child = spawn(join(root, 'node_modules/.bin/tsx'), ['scripts/doctor.ts', ...args], {
    cwd: root,
    env: { PATH: process.env.PATH },
  });
  let out = '';
  child.stdout.on('data', (part) => {
    out += part;
  });
  const [code] = await once(child, 'close');
  return { code, out };
}
