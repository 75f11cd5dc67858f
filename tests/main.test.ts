import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { message, newTenant, send } from './support/client.ts';
import { freePort, spawnDaemon } from './support/daemon.ts';
import { cloneDataDir, daemonDatabase, describeOnServer, emptyDatabase } from './support/database.ts';
import { readEvents } from './support/sse.ts';

// Start and stop of the daemon, `node dist/main.js` in a separate process.

const main = join(import.meta.dirname, '../dist/main.js');

/** Runs a daemon that must not start. Returns its exit code and standard error. */
function fails(env: Record<string, string>): { code: number | null; said: string } {
  const { status, stderr } = spawnSync(process.execPath, [main], {
    env: { PATH: process.env.PATH, LOG_LEVEL: 'silent', ...env },
    encoding: 'utf8',
    timeout: 25_000,
  });
  return { code: status, said: stderr };
}

test.each(['PORT', 'ADMIN_PORT'])('a %s that is in use stops the start with a message that names the port', async (setting) => {
  const squatter = createServer().listen(0, '0.0.0.0');
  await once(squatter, 'listening');
  const { port } = squatter.address() as { port: number };
  const { code, said } = fails({ PORT: '0', [setting]: String(port), DATA_DIR: '/nonexistent-and-not-needed' });
  squatter.close();
  expect(code).toBe(1);
  expect(said).toMatch(new RegExp(`Port ${port} is in use.*another ${setting}\\.`, 's'));
});

test.each(['HOST', 'ADMIN_HOST'])(
  'a %s that is not an address of this machine stops the start with a message that names it',
  (setting) => {
    // 192.0.2.0/24 is for documentation (RFC 5737)
    const { code, said } = fails({ PORT: '0', ADMIN_PORT: '0', [setting]: '192.0.2.1', DATA_DIR: '/nonexistent-and-not-needed' });
    expect([code, said]).toEqual([
      1,
      expect.stringMatching(new RegExp(`cannot listen on port 0 of 192\\.0\\.2\\.1.*or ${setting}\\.`)),
    ]);
  },
);

test('invalid settings stop the start with one message that lists them all', () => {
  const { code, said } = fails({ PORT: 'x', PGPOOL_MAX: '-1' });
  expect(code).toBe(1);
  expect(said).toMatch(/PORT: got .*PGPOOL_MAX: got /s);
});

test('a second daemon on the same embedded directory exits with a message that names DATA_DIR', async () => {
  const DATA_DIR = await cloneDataDir();
  const first = await spawnDaemon({ DATA_DIR });
  const { code, said } = fails({ PORT: String(await freePort()), DATA_DIR });
  await first.kill('SIGTERM');
  rmSync(DATA_DIR, { recursive: true, force: true });
  expect(code).toBe(1);
  expect(said).toMatch(/DATA_DIR/);
}, 60_000);

test('an unreachable database stops the start with a message without a stack trace', async () => {
  const { code, said } = fails({ PORT: '0', PGHOST: '127.0.0.1', PGPORT: String(await freePort()) });
  expect(code).toBe(1);
  expect(said).toMatch(/cannot be reached.*PGHOST/s);
  expect(said).not.toMatch(/\n\s+at /);
});

describeOnServer('its run starts from a template', () => {
  test('MIGRATE_ON_START=false on an empty database exits with the command to run', async () => {
    const database = await emptyDatabase();
    const { host, port, user } = database.connection;
    const { code, said } = fails({
      PORT: '0',
      PGHOST: host,
      PGPORT: String(port),
      PGUSER: user,
      PGDATABASE: database.connection.database,
      MIGRATE_ON_START: 'false',
    });
    await database.release();
    expect(code).toBe(1);
    expect(said).toContain('npm run migrate -- up');
  });
});

const SECRETS = ['jwt-secret', 'encryption-key', 'capability-key'];

test('in development the daemon generates secrets once and prints the URLs; in production it generates none and prints only JSON', async () => {
  const DATA_DIR = await cloneDataDir();
  const PORT = String(await freePort());
  const generatedBy = (output: string) => {
    const lines = output.split('\n').filter((line) => line.includes('generated the secrets'));
    return lines.map((line) => JSON.parse(line)).map(({ settings, data_dir }) => [settings, data_dir]);
  };
  const secrets = () =>
    SECRETS.filter((name) => existsSync(join(DATA_DIR, name))).map((name) => readFileSync(join(DATA_DIR, name), 'utf8'));
  const output = await outputOf({ DATA_DIR, PORT, LOG_LEVEL: 'info' }, /=== Ready ===[\s\S]*Database/);
  expect(output).toContain(`http://127.0.0.1:${PORT}/docs`);
  expect(generatedBy(output)).toEqual([[['JWT_SECRET', 'ENCRYPTION_KEY', 'CAP_KEY_ACTIVE'], DATA_DIR]]);
  const first = secrets();
  expect(new Set(first).size).toBe(3);
  // the environment of the AgentState guide
  const guide = {
    REGION: 'us-west-2',
    CAP_KEY_ACTIVE_ID: 'active',
    CAP_KEY_ACTIVE: 'dGhpc2lzYXNhbXBsZWtleWZvcmRlbW9zdHJhdGlvbnB1cnBvc2Vz',
  };
  expect(generatedBy(await outputOf({ DATA_DIR, PORT, LOG_LEVEL: 'info', ...guide }, /=== Ready ===/))).toEqual([]);
  expect(secrets()).toEqual(first);
  for (const name of SECRETS) rmSync(join(DATA_DIR, name));
  const lines = (
    await outputOf(
      { DATA_DIR, PORT, NODE_ENV: 'production', LOG_LEVEL: 'info', JWT_SECRET: 'kQ0v1n4y8bq6fC2m9sT3xZ7wL5pR1dHj' },
      /"ready"/,
    )
  )
    .trim()
    .split('\n');
  expect(lines.map((line) => typeof JSON.parse(line))).toEqual(lines.map(() => 'object'));
  expect(secrets()).toEqual([]);
  rmSync(DATA_DIR, { recursive: true, force: true });
}, 60_000);

async function outputOf(env: Record<string, string>, until: RegExp): Promise<string> {
  const child: ChildProcess = spawn(process.execPath, [main], {
    env: { PATH: process.env.PATH, HOST: '127.0.0.1', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  for await (const part of child.stdout!) {
    output += part;
    if (until.test(output)) break;
  }
  child.kill('SIGTERM');
  if (child.exitCode === null) await once(child, 'exit');
  return output;
}

test('on SIGTERM running requests finish, streams end with an id to resume from, and the exit code is 0', async () => {
  const database = await daemonDatabase();
  const daemon = await spawnDaemon(database.env);
  const { token } = await newTenant(daemon.url);
  const stream = readEvents(
    await fetch(`${daemon.url}/v1/events`, { headers: { accept: 'text/event-stream', authorization: `Bearer ${token}` } }),
  );
  await stream.next();
  const events = Array.from({ length: 500 }, (_, i) => message(`in flight ${i} ${'word '.repeat(100)}`));
  const running = Array.from({ length: 4 }, () =>
    send<{ data: { seq: number }[] }>(daemon.url, 'POST', '/v1/events', { body: { events } }, token),
  );
  await new Promise((resolve) => setTimeout(resolve, 30));
  const exit = once(daemon.child, 'exit');
  daemon.child.kill('SIGTERM');
  expect((await Promise.all(running)).map(({ status }) => status)).toEqual([201, 201, 201, 201]);
  let last: string | undefined;
  for await (const { id } of stream) last = id ?? last;
  expect(last).toMatch(/^\d+$/);
  expect(await exit).toEqual([0, null]);
  await database.release();
}, 60_000);

test.each([
  [
    'a cluster of another program',
    (dir: string) => mkdirSync(join(dir, 'pgdata')),
    /pgdata was not written by this service: set DATA_DIR/,
  ],
  [
    'an invalid engine.json',
    (dir: string) => writeFileSync(join(dir, 'engine.json'), '{'),
    /engine\.json cannot be read.*DATA_DIR/,
  ],
  ['a file in place of the cluster', (dir: string) => writeFileSync(join(dir, 'pgdata'), ''), /DATA_DIR/],
])('a data directory with %s stops the start with a message and is not changed', (_, spoil, sentence) => {
  const DATA_DIR = mkdtempSync(join(tmpdir(), 'foreign-'));
  spoil(DATA_DIR);
  const { code, said } = fails({ PORT: '0', DATA_DIR });
  const left = readdirSync(DATA_DIR);
  rmSync(DATA_DIR, { recursive: true });
  expect([code, said]).toEqual([1, expect.stringMatching(sentence)]);
  expect(said).not.toMatch(/\n\s+at /);
  expect(left).toHaveLength(1);
});

test('`npm run demo` prints the same message as the service if it cannot start', async () => {
  const squatter = createServer().listen(0, '127.0.0.1');
  await once(squatter, 'listening');
  const { port } = squatter.address() as { port: number };
  const root = join(import.meta.dirname, '..');
  const env = { PATH: process.env.PATH, PORT: String(port) };
  const { status, stderr } = spawnSync(process.execPath, ['--import', 'tsx', 'scripts/demo.ts'], {
    cwd: root,
    env,
    encoding: 'utf8',
  });
  squatter.close();
  expect(status).toBe(1);
  expect(stderr).toMatch(new RegExp(`Port ${port} is in use`));
  expect(stderr).not.toMatch(/\n\s+at /);
});

test('a version of Node that is too old is reported', () => {
  const script = join(import.meta.dirname, '../scripts/node-version.cjs');
  const under = (version: string) => {
    const as = `Object.defineProperty(process.versions, 'node', { value: '${version}' }); require(${JSON.stringify(script)})`;
    const { status, stderr } = spawnSync(process.execPath, ['-e', as], { encoding: 'utf8' });
    return [status, stderr];
  };
  expect(under('18.20.4')).toEqual([1, expect.stringMatching(/^Agent Memory needs Node 20\.19 or newer; .*\n$/)]);
  expect(under('20.18.9')[0]).toBe(1);
  expect(['20.19.0', '22.0.0', '100.1.0'].map(under)).toEqual([
    [0, ''],
    [0, ''],
    [0, ''],
  ]);
});

test('a data directory that cannot be created stops the start with a message that names it', () => {
  const { code, said } = fails({ PORT: '0', DATA_DIR: '/dev/null/data' });
  expect(code).toBe(1);
  expect(said).toMatch(/DATA_DIR.*\/dev\/null\/data|\/dev\/null\/data.*DATA_DIR/s);
});
