import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync } from 'node:fs';
import { dirname, extname, join, resolve } from 'node:path';

// The database that needs nothing installed: PGlite (PostgreSQL compiled to WebAssembly) in a process of its own, reached over a
// Unix socket by the same `pg` pool as any other server.
//
// What it keeps and what not: it writes to files but does not fsync. Whatever was acknowledged survives the death of the daemon and
// of the engine (kill -9 included), because the kernel has it; it does not survive a power cut or the crash of the machine.
//
// One session, one client, one daemon: the engine has a single session for everybody, so a second connection would see the
// first one's transaction and even its answers. Hence a pool of one, and a lock on the directory.

export interface EmbeddedConnection {
  host: string;
  port: number;
  user: string;
  database: string;
  /** Tells the pool to take one connection and no more. */
  embedded: true;
}

export interface Embedded {
  connection: EmbeddedConnection;
  /** The engine's process. */
  pid: number;
  /** Ends the engine after its current statement; close the pool first. */
  stop(): Promise<void>;
  /** Calls back if the engine ends without having been asked to. */
  onExit(callback: (error: Error) => void): void;
}

/** The message says what to do. */
class EmbeddedError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'EmbeddedError';
  }
}

/** What the engine's process says once, when it listens or when it cannot. */
export type EngineReport = { ready: EmbeddedConnection } | { failed: string };

const STOP_WAIT_MS = 10_000;
const STDERR_KEPT = 2000;
/** `embedded-process.js` beside `embedded.js`, `.ts` beside `.ts`. */
const here = import.meta.filename;
const packageRoot = join(dirname(here), '..', '..');

/** Starts the engine on a directory that is made if missing, unless it must exist. The first start initialises it, which takes seconds. */
export async function startEmbedded({ data_dir, existing }: { data_dir: string; existing?: boolean }): Promise<Embedded> {
  const dir = resolve(data_dir);
  if (existing && !existsSync(join(dir, 'engine.json')))
    throw new EmbeddedError(
      `There is no database in ${dir}: set DATA_DIR to the service's, or PGHOST; \`npm start\` makes a new one.`,
    );
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const child = forkEngine(dir);
  const readStderr = keepStderr(child);
  const gone = once(child, 'exit').then(([code, signal]) => `${signal ?? `exit code ${code}`}${readStderr()}`);
  const report = await Promise.race([once(child, 'message').then(([message]) => message as EngineReport), gone]);
  if (typeof report === 'string') throw new EmbeddedError(`The embedded database in ${dir} did not start (${report}).`);
  if ('failed' in report) throw new EmbeddedError(report.failed);
  return handleOf(child, dir, report.ready, gone);
}

/**
 * A group of its own (detached), so that a signal to the daemon's group, such as Ctrl-C, lets the daemon drain first. It
 * notices the end of its parent by the channel between them.
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
  let kept = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    kept = (kept + text).slice(-STDERR_KEPT);
  });
  return () => (kept ? `: ${kept.trim()}` : '');
}

function handleOf(child: ChildProcess, dir: string, connection: EmbeddedConnection, gone: Promise<string>): Embedded {
  let asked = false;
  return {
    connection,
    pid: child.pid!,
    async stop() {
      asked = true;
      if (child.connected) child.disconnect();
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_WAIT_MS);
      await gone;
      clearTimeout(timer);
    },
    onExit(callback) {
      void gone.then((how) => {
        if (!asked) callback(new EmbeddedError(`The embedded database in ${dir} ended unexpectedly (${how}).`));
      });
    },
  };
}
