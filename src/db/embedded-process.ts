import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { PGlite } from '@electric-sql/pglite';
import { btree_gin } from '@electric-sql/pglite/contrib/btree_gin';
import { pg_trgm } from '@electric-sql/pglite/contrib/pg_trgm';
import { PGLiteSocketServer } from '@electric-sql/pglite-socket';
import { startupMessage } from '../startup_error.ts';
import type { EngineReport } from './embedded.ts';
import { lockDirectory } from './lock.ts';
import { createMessageFramer } from './message_framing.ts';

// The engine's process, started by embedded.ts. It opens the directory, so it is the one that holds the lock.

const PORT = 5432;
const SOCKET_NAME = `.s.PGSQL.${PORT}`;
/** `sun_path` has 108 bytes with its final NUL on Linux, 104 on macOS. */
const SOCKET_PATH_BYTES = 103;
const dir = process.argv[2]!;
const daemon = process.ppid;

process.umask(0o077);
// A service manager signals every process of a service at once; the daemon still needs us then, and tells us when it does not.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);

async function main(): Promise<void> {
  watchDaemon();
  const lock = await lockDirectory(dir, daemon);
  process.on('exit', lock.release);
  const db = await openEngine();
  const { server, host } = await listen(db);
  process.on('disconnect', () => void end());
  if (!process.connected) return end();
  process.send?.({ ready: { host, port: PORT, user: 'postgres', database: 'postgres', embedded: true } } satisfies EngineReport);

  async function end(): Promise<void> {
    await server.stop();
    await db.close();
    rmSync(join(host, SOCKET_NAME), { force: true });
    if (host !== dir) rmSync(host, { recursive: true, force: true });
    process.exit(0);
  }
}

/**
 * The channel tells us of the daemon's end, but not while a statement runs, and nothing interrupts a statement here. A
 * thread looks whether we have been handed to another parent, and ends a process that has not noticed for 5 s.
 */
function watchDaemon(): void {
  const code = `
    let orphaned = 0;
    setInterval(() => {
      orphaned = process.ppid === ${daemon} ? 0 : orphaned + 1;
      if (orphaned > 5) process.kill(process.pid, 'SIGKILL');
    }, 1000);`;
  new Worker(code, { eval: true, execArgv: [] }).unref();
}

async function openEngine(): Promise<PGlite> {
  const files = join(dir, 'pgdata');
  const unfinished = join(dir, 'initialising');
  if (existsSync(join(dir, 'engine.json'))) refuseOtherEngine();
  else refuseForeignFiles();
  // A first start that was killed leaves half a cluster that nothing can open.
  if (existsSync(unfinished)) rmSync(files, { recursive: true, force: true });
  if (!existsSync(files)) writeFileSync(unfinished, '');
  const db = await PGlite.create(files, { extensions: { btree_gin, pg_trgm } });
  exitOnFault(db);
  writeFileSync(join(dir, 'engine.json'), `${JSON.stringify({ engine: 'pglite', version: engineVersion() })}\n`);
  rmSync(unfinished, { force: true });
  return db;
}

function refuseOtherEngine(): void {
  const version = versionIn(readFileSync(join(dir, 'engine.json'), 'utf8'));
  if (series(version) === series(engineVersion())) return;
  throw new Error(
    `The embedded database in ${dir} was written by PGlite ${version}, and this release brings ${engineVersion()}, which may not read it: ` +
      'start the release that wrote it and take a backup to restore here, or set DATA_DIR to another directory.',
  );
}

/** What was made by something else is neither opened nor removed. */
function refuseForeignFiles(): void {
  if (existsSync(join(dir, 'pgdata')) && !existsSync(join(dir, 'initialising')))
    throw new Error(`${join(dir, 'pgdata')} was not written by this service: set DATA_DIR to another directory.`);
}

function versionIn(json: string): string {
  try {
    return String((JSON.parse(json) as { version?: unknown }).version);
  } catch {
    throw new Error(
      `${join(dir, 'engine.json')} cannot be read: restore it from a backup, or set DATA_DIR to another directory.`,
    );
  }
}

/** Before 1.0 it is the minor number that breaks. */
const series = (version: string): string => version.split('.', version.startsWith('0.') ? 2 : 1).join('.');

function engineVersion(): string {
  const entry = fileURLToPath(import.meta.resolve('@electric-sql/pglite'));
  return (JSON.parse(readFileSync(join(dirname(entry), '..', 'package.json'), 'utf8')) as { version: string }).version;
}

/** After a fault of the engine its queue stands still for ever: better gone, so that the daemon is told. */
function exitOnFault(db: PGlite): void {
  const execute = db.execProtocolRawStream.bind(db);
  db.execProtocolRawStream = async (message, options) => {
    try {
      await execute(message, options);
    } catch (error) {
      process.stderr.write(`${(error as Error).stack}\n`, () => process.exit(70));
    }
  };
}

async function listen(db: PGlite): Promise<{ server: PGLiteSocketServer; host: string }> {
  const fits = Buffer.byteLength(join(dir, SOCKET_NAME)) <= SOCKET_PATH_BYTES;
  // Some shared volumes cannot hold a socket.
  const started = fits ? await listenIn(dir, db).catch(() => undefined) : undefined;
  return started ?? listenIn(mkdtempSync(join(tmpdir(), 'agent-memory-')), db);
}

async function listenIn(host: string, db: PGlite): Promise<{ server: PGLiteSocketServer; host: string }> {
  const path = join(host, SOCKET_NAME);
  rmSync(path, { force: true });
  const server = new PGLiteSocketServer({ db, path, maxConnections: 1 });
  server.addEventListener('connection', () => void resetSession(db));
  await server.start();
  // The server takes up a socket one turn of the loop after this event.
  (server as unknown as { server: Server }).server.on('connection', deliverWhole);
  chmodSync(path, 0o600);
  return { server, host };
}

function deliverWhole(socket: Socket): void {
  const framer = createMessageFramer();
  const emit = socket.emit.bind(socket) as (event: string, ...args: unknown[]) => boolean;
  socket.emit = (event: string, ...args: unknown[]) => {
    if (event !== 'data') return emit(event, ...args);
    const whole = framer(args[0] as Buffer);
    return whole !== undefined && emit('data', whole);
  };
}

const SYNC = Uint8Array.of(0x53, 0, 0, 0, 4);

/** The single session outlives its clients: whatever the last one left (half a message, a transaction, settings, names) is cleared. */
async function resetSession(db: PGlite): Promise<void> {
  await db.runExclusive(async () => {
    await db.execProtocolRaw(SYNC);
    await db.execProtocolRaw(simpleQuery('rollback'));
    await db.execProtocolRaw(simpleQuery('discard all'));
  });
}

function simpleQuery(sql: string): Uint8Array {
  const message = Buffer.alloc(6 + sql.length);
  message.write('Q');
  message.writeInt32BE(5 + sql.length, 1);
  message.write(sql, 5);
  return message;
}

// Last, because what is declared above with const has to exist by then.
main().catch((error: Error) => process.send?.({ failed: startupMessage(error) } satisfies EngineReport, () => process.exit(1)));
