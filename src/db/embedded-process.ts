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

// The process of the embedded engine, started by embedded.ts. It opens the directory and therefore holds the lock.

const PORT = 5432;
const SOCKET_NAME = `.s.PGSQL.${PORT}`;
/** `sun_path` has 108 bytes including the final NUL on Linux, 104 on macOS. */
const SOCKET_PATH_BYTES = 103;
const dir = process.argv[2]!;
const daemon = process.ppid;

process.umask(0o077);
// A service manager signals all processes of a service at once. The daemon still needs the engine then, and disconnects when it is done.
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
 * Kills this process 5 s after the daemon has died, if it is still running. The IPC channel reports the end of the daemon, but not while a
 * statement runs, and statements cannot be interrupted. A thread therefore checks the parent process id.
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
  // A first start that was killed leaves an incomplete cluster that cannot be opened.
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
    `The embedded database in ${dir} was written by PGlite ${version}, and this release has ${engineVersion()}, which may be unable to read it. ` +
      'Start the release that wrote it, take a backup and restore it here, or set DATA_DIR to another directory.',
  );
}

/** Throws if the files were made by another program: they are neither opened nor removed. */
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

/** Returns the part of a version that changes with incompatible releases: before 1.0 the minor number too. */
const series = (version: string): string => version.split('.', version.startsWith('0.') ? 2 : 1).join('.');

function engineVersion(): string {
  const entry = fileURLToPath(import.meta.resolve('@electric-sql/pglite'));
  return (JSON.parse(readFileSync(join(dirname(entry), '..', 'package.json'), 'utf8')) as { version: string }).version;
}

/** Exits after an internal error of the engine, because its queue never continues. The exit informs the daemon. */
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
  // Some shared volumes do not support sockets.
  const started = fits ? await listenIn(dir, db).catch(() => undefined) : undefined;
  return started ?? listenIn(mkdtempSync(join(tmpdir(), 'agent-memory-')), db);
}

async function listenIn(host: string, db: PGlite): Promise<{ server: PGLiteSocketServer; host: string }> {
  const path = join(host, SOCKET_NAME);
  rmSync(path, { force: true });
  const server = new PGLiteSocketServer({ db, path, maxConnections: 1 });
  server.addEventListener('connection', () => void resetSession(db));
  await server.start();
  // The server starts to read from a socket one turn of the event loop after this event.
  (server as unknown as { server: Server }).server.on('connection', frameMessages);
  chmodSync(path, 0o600);
  return { server, host };
}

/** Makes a socket emit complete protocol messages. */
function frameMessages(socket: Socket): void {
  const framer = createMessageFramer();
  const emit = socket.emit.bind(socket) as (event: string, ...args: unknown[]) => boolean;
  socket.emit = (event: string, ...args: unknown[]) => {
    if (event !== 'data') return emit(event, ...args);
    const messages = framer(args[0] as Buffer);
    return messages !== undefined && emit('data', messages);
  };
}

const SYNC = Uint8Array.of(0x53, 0, 0, 0, 4);

/** Clears what the previous client left in the only session: a partial message, a transaction, settings, prepared statements. */
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

// Last, because main() uses the constants declared above.
main().catch((error: Error) => process.send?.({ failed: startupMessage(error) } satisfies EngineReport, () => process.exit(1)));
