import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync } from 'node:fs';
import { dirname, extname, join, resolve } from 'node:path';

// The embedded database, which needs no installation: PGlite (PostgreSQL compiled to WebAssembly) in a separate process. The same `pg` pool
// as for a server connects to it over a Unix socket.
//
// Durability: it writes to files but does not call fsync. Acknowledged writes survive the death of the daemon and of the engine, even by
// kill -9, because the kernel has the data. They do not survive a power cut or an operating system crash.
//
// The engine has a single session: a second connection would see the transaction of the first one, and even its results. The pool therefore
// has one connection, and a lock on the directory admits one daemon.

export interface EmbeddedConnection {
  host: string;
  port: number;
  user: string;
  database: string;
  /** Limits the pool to one connection. */
  embedded: true;
}

export interface Embedded {
  connection: EmbeddedConnection;
  /** Id of the engine's process. */
  pid: number;
  /** Stops the engine after its current statement. The pool must be closed first. */
  stop(): Promise<void>;
  /** Calls back if the engine exits without `stop`. */
  onExit(callback: (error: Error) => void): void;
}

/** The message tells the operator what to do. */
class EmbeddedError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'EmbeddedError';
  }
}

/** The single message of the engine's process: it is listening, or it failed to start. */
export type EngineReport = { ready: EmbeddedConnection } | { failed: string };

const STOP_WAIT_MS = 10_000;
const STDERR_KEPT = 2000;
const here = import.meta.filename;
const packageRoot = join(dirname(here), '..', '..');

/**
 * Starts the engine. Creates the directory if it is missing, unless `existing` is set. The first start initializes the database, which takes
 * seconds.
 */
export async function startEmbedded({ data_dir, existing }: { data_dir: string; existing?: boolean }): Promise<Embedded> {
  const dir = resolve(data_dir);
  if (existing && !existsSync(join(dir, 'engine.json')))
    throw new EmbeddedError(
      `There is no database in ${dir}: set DATA_DIR to the directory of the service, or set PGHOST. \`npm start\` creates a new one.`,
    );
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const child = forkEngine(dir);
  const readStderr = keepStderr(child);
  const exited = once(child, 'exit').then(([code, signal]) => `${signal ?? `exit code ${code}`}${readStderr()}`);
  const report = await Promise.race([once(child, 'message').then(([message]) => message as EngineReport), exited]);
  if (typeof report === 'string') throw new EmbeddedError(`The embedded database in ${dir} did not start (${report}).`);
  if ('failed' in report) throw new EmbeddedError(report.failed);
  return handleOf(child, dir, report.ready, exited);
}

/**
 * Forks the process in its own process group, so that a signal to the daemon's group, such as Ctrl-C, lets the daemon drain first. The IPC
 * channel tells the process when the daemon ends.
 */
function forkEngine(dir: string): ChildProcess {
  const extension = extname(here);
  return fork(join(dirname(here), `embedded-process${extension}`), [dir], {
    cwd: packageRoot,
    detached: true,
    execArgv: extension === '.ts' ? ['--import', 'tsx'] : [],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
}

function keepStderr(child: ChildProcess): () => string {
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-STDERR_KEPT);
  });
  return () => (stderr ? `: ${stderr.trim()}` : '');
}

function handleOf(child: ChildProcess, dir: string, connection: EmbeddedConnection, exited: Promise<string>): Embedded {
  let stopping = false;
  return {
    connection,
    pid: child.pid!,
    async stop() {
      stopping = true;
      if (child.connected) child.disconnect();
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_WAIT_MS);
      await exited;
      clearTimeout(timer);
    },
    onExit(callback) {
      void exited.then((how) => {
        if (!stopping) callback(new EmbeddedError(`The embedded database in ${dir} ended unexpectedly (${how}).`));
      });
    },
  };
}
