import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { message, newTenant, send } from './support/client.ts';
import { freePort, spawnDaemon } from './support/daemon.ts';
import { cloneDataDir, daemonDatabase, emptyDatabase, onEmbedded } from './support/database.ts';
import { readEvents } from './support/sse.ts';

// Starting and stopping, as an operator meets them: `node dist/main.js` in a process of its own.

const main = join(import.meta.dirname, '../dist/main.js');

/** Runs a daemon that must not start; its exit code and what it says. */
function fails(env: Record<string, string>): { code: number | null; said: string } {
  const { status, stderr } = spawnSync(process.execPath, [main], {
    env: { PATH: process.env.PATH, LOG_LEVEL: 'silent', ...env },
    encoding: 'utf8',
    timeout: 25_000,
  });
  return { code: status, said: stderr };
}

test('a port in use ends the start with a sentence that names the port', async () => {
  const squatter = createServer().listen(0, '0.0.0.0');
  await once(squatter, 'listening');
  const { port } = squatter.address() as { port: number };
  const { code, said } = fails({ PORT: String(port), DATA_DIR: '/nonexistent-and-not-needed' });
  squatter.close();
  expect(code).toBe(1);
  expect(said).toMatch(new RegExp(`Port ${port} is in use.*another PORT`, 's'));
});

test('bad settings end the start with one message that lists them all', () => {
  const { code, said } = fails({ PORT: 'x', PGPOOL_MAX: '-1' });
  expect(code).toBe(1);
  expect(said).toMatch(/PORT: got .*PGPOOL_MAX: got /s);
});

test('a second daemon on the same embedded directory ends with a sentence that says what to do', async () => {
  const DATA_DIR = await cloneDataDir();
  const first = await spawnDaemon({ DATA_DIR });
  const { code, said } = fails({ PORT: String(await freePort()), DATA_DIR });
  await first.kill('SIGTERM');
  rmSync(DATA_DIR, { recursive: true, force: true });
  expect(code).toBe(1);
  expect(said).toMatch(/DATA_DIR/);
}, 60_000);

test('a database that cannot be reached ends the start with a sentence, without a stack', async () => {
  const { code, said } = fails({ PORT: '0', PGHOST: '127.0.0.1', PGPORT: String(await freePort()) });
  expect(code).toBe(1);
  expect(said).toMatch(/cannot be reached.*PGHOST/s);
  expect(said).not.toMatch(/\n\s+at /);
});

test('MIGRATE_ON_START=false on an empty database ends with the command to run (PostgreSQL; the embedded run starts from its template)', async () => {
  if (onEmbedded()) return;
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

test('development makes its own JWT secret and says Ready with the URLs; production says nothing but JSON', async () => {
  const DATA_DIR = await cloneDataDir();
  const PORT = String(await freePort());
  const said = await outputOf({ DATA_DIR, PORT, NODE_ENV: 'development', LOG_LEVEL: 'info' }, /=== Ready ===[\s\S]*Database/);
  expect(said).toContain(`http://127.0.0.1:${PORT}/docs`);
  expect(existsSync(join(DATA_DIR, 'jwt-secret'))).toBe(true);
  const lines = (
    await outputOf(
      { DATA_DIR, PORT, NODE_ENV: 'production', LOG_LEVEL: 'info', JWT_SECRET: 'kQ0v1n4y8bq6fC2m9sT3xZ7wL5pR1dHj' },
      /"ready"/,
    )
  )
    .trim()
    .split('\n');
  expect(lines.map((line) => typeof JSON.parse(line))).toEqual(lines.map(() => 'object'));
  rmSync(DATA_DIR, { recursive: true, force: true });
}, 60_000);

async function outputOf(env: Record<string, string>, until: RegExp): Promise<string> {
  const child: ChildProcess = spawn(process.execPath, [main], {
    env: { PATH: process.env.PATH, HOST: '127.0.0.1', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  for await (const part of child.stdout!) {
    said += part;
    if (until.test(said)) break;
  }
  child.kill('SIGTERM');
  if (child.exitCode === null) await once(child, 'exit');
  return said;
}

test('SIGTERM lets running requests finish, ends streams with the place to resume, and exits 0', async () => {
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
  expect(Number(last)).toBeGreaterThanOrEqual(0);
  expect(await exit).toEqual([0, null]);
  await database.release();
}, 60_000);

test('a data directory that cannot be made ends the start with a sentence that names it', () => {
  const { code, said } = fails({ PORT: '0', DATA_DIR: '/dev/null/data' });
  expect(code).toBe(1);
  expect(said).toMatch(/DATA_DIR.*\/dev\/null\/data|\/dev\/null\/data.*DATA_DIR/s);
});
