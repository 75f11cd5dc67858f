import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type TestConnection, unprivileged, withClient } from './cluster.ts';
import { freePort } from './port.ts';
import { findTool } from './tool.ts';

export const POOLER_PASSWORD = 'only-for-tests';

export interface Pooler {
  host: string;
  port: number;
  stop(): Promise<void>;
  /** Starts it on the same port after `stop`. */
  restart(): Promise<Pooler>;
}

/** Starts pgbouncer with the configuration of docs/pgbouncer.md, for all databases of a test server. */
export async function startPooler(
  dir: string,
  server: TestConnection,
  settings: Record<string, string> = {},
  port?: number,
): Promise<Pooler> {
  const as = unprivileged();
  mkdirSync(dir, { recursive: true });
  port ??= await freePort();
  const [ini, users] = [join(dir, 'pgbouncer.ini'), join(dir, 'userlist.txt')];
  writeFileSync(users, `"memory" "${POOLER_PASSWORD}"\n`);
  chmodSync(users, 0o600);
  writeFileSync(ini, relocate(documented(), server, port, users, settings));
  if (as) for (const path of [dir, ini, users]) chownSync(path, as.uid, as.gid);
  const child = spawn(findTool('pgbouncer')!, ['-q', ini], { ...as, stdio: ['ignore', 'ignore', 'pipe'] });
  writeFileSync(join(dir, 'pid'), String(child.pid));
  let output = '';
  child.stderr.on('data', (part) => {
    output += part;
  });
  const ended = once(child, 'exit');
  const pooler = {
    host: '127.0.0.1',
    port,
    stop: async () => {
      child.kill('SIGKILL');
      await ended;
    },
    restart: () => startPooler(dir, server, settings, port),
  };
  const client = { ...server, host: pooler.host, port, user: 'memory', password: POOLER_PASSWORD };
  for (let tries = 0; ; tries += 1) {
    try {
      await withClient(client, (one) => one.query('select 1'));
      return pooler;
    } catch (error) {
      if (tries < 100 && child.exitCode === null) await sleep(50);
      else throw new Error(`pgbouncer does not answer: ${error}\n${output}`);
    }
  }
}

function documented(): string {
  const page = readFileSync(join(import.meta.dirname, '../../docs/pgbouncer.md'), 'utf8');
  return /```ini\n([\s\S]*?)```/.exec(page)![1]!;
}

/** Replaces the addresses in the documented file, and its database by `*`. */
function relocate(
  ini: string,
  { host, port }: TestConnection,
  own: number,
  users: string,
  settings: Record<string, string>,
): string {
  const moved = ini
    .replace(/^agent_memory = host=\S+ port=\d+/m, `* = host=${host} port=${port}`)
    .replace(/^listen_port = .*$/m, `listen_port = ${own}`)
    .replace(/^auth_file = .*$/m, `auth_file = ${users}`);
  return Object.entries(settings).reduce(
    (text, [name, value]) =>
      text.match(new RegExp(`^${name} = `, 'm'))
        ? text.replace(new RegExp(`^${name} = .*$`, 'm'), `${name} = ${value}`)
        : `${text}${name} = ${value}\n`,
    `${moved}unix_socket_dir =\n`,
  );
}
