import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import type { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, request as requestInClear } from 'node:http';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { freePort, type SpawnedDaemon, spawnDaemon } from '../../support/daemon.ts';
import { daemonDatabase } from '../../support/database.ts';
import { findTool } from '../../support/tool.ts';

// nginx in the shipped configuration, in front of daemons in separate processes.

const root = join(import.meta.dirname, '../../..');
const shipped = (name: string) => readFileSync(join(root, 'nginx', name), 'utf8');

export interface Edge {
  dir: string;
  /** Base URLs: https://127.0.0.1:…, and http://127.0.0.1:… for port 80 and for the operator's port 3000. */
  https: string;
  http: string;
  operator: string;
  /** The self-signed certificate. */
  ca: string;
  env: Record<string, string>;
  daemons: SpawnedDaemon[];
  nginx: string[];
  /** Whether a reload keeps idle connections of clients open. */
  kept: boolean;
  log(): Record<string, string | number>[];
  /** Processes started in addition to nginx and the daemons, which end with them. */
  started: ChildProcess[];
  stop(): Promise<void>;
}

interface Ports {
  http: number;
  https: number;
  operator: number;
  again: number;
}

export const hasIpv6 = existsSync('/proc/net/if_inet6') && readFileSync('/proc/net/if_inet6', 'utf8').includes(' lo');

/** Copies the shipped files with other ports and paths, and separate temporary files, because this nginx shares the machine. */
function relocate(text: string, dir: string, ports: Ports): string {
  return (hasIpv6 ? text : text.replaceAll(/^ +listen \[::\].*\n/gm, ''))
    .replaceAll(/listen \[::\]:80\b/g, `listen [::1]:${ports.http}`)
    .replaceAll(/listen \[::\]:443\b/g, `listen [::1]:${ports.https}`)
    .replaceAll(/listen 80\b/g, `listen 127.0.0.1:${ports.http}`)
    .replaceAll('127.0.0.1:3009', `127.0.0.1:${ports.again}`)
    .replaceAll(/listen 443\b/g, `listen 127.0.0.1:${ports.https}`)
    .replaceAll(/listen 3000\b/g, `listen 127.0.0.1:${ports.operator}`)
    .replaceAll(/ \/(etc\/nginx|var\/www|var\/log\/nginx|run)\//g, ` ${dir}/`)
    .replaceAll(`${dir}/agent-memory/`, `${dir}/`)
    .replace(
      'http {\n',
      `http {\n${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${dir}/tmp-${kind};\n`).join('')}`,
    );
}

/** The nginx of the machine, or `nginx-mainline` (install-nginx.sh), which has what kept.conf needs. */
export async function startEdge({
  daemons = 2,
  settings = {} as Record<string, string>,
  watch = false,
  program = 'nginx' as 'nginx' | 'nginx-mainline',
  mtls = false,
} = {}): Promise<Edge> {
  const dir = mkdtempSync(join(tmpdir(), 'edge-'));
  chmodSync(dir, 0o755); // nginx's workers run as another user.
  mkdirSync(join(dir, 'acme'));
  execFileSync(join(root, 'scripts/make-cert.sh'), ['127.0.0.1'], { env: { ...process.env, SSL_DIR: join(dir, 'ssl') } });
  const ports = { http: await freePort(), https: await freePort(), operator: await freePort(), again: await freePort() };
  const files = ['nginx.conf', 'upstream.conf', 'problem.conf', ...(program === 'nginx-mainline' ? ['kept.conf'] : [])];
  for (const name of files) writeFileSync(join(dir, name), relocate(shipped(name), dir, ports));

  if (mtls)
    execFileSync(join(root, 'scripts/make-mtls.sh'), { env: { ...process.env, NGINX_DIR: dir, SEEN_AS: join(dir, 'mtls') } });

  const database = await daemonDatabase();
  const overrides = { TRUST_PROXY_HOPS: '1', MIGRATE_ON_START: 'false', ...settings, ...(mtls && encrypted(dir)) };
  const running = await Promise.all(Array.from({ length: daemons }, () => spawnDaemon(database.env, overrides)));
  // Writes what reload-on-change.sh writes; if the test runs that script, it finds these files.
  const servers = running.map(({ url }) => `server ${new URL(url).host} max_fails=0;\n`);
  if (!watch) for (const name of ['servers', 'metrics']) writeFileSync(join(dir, `agent-memory-${name}.conf`), servers.join(''));

  symlinkSync(findTool(program)!, join(dir, 'nginx'));
  const nginx = [join(dir, 'nginx'), '-c', join(dir, 'nginx.conf')];
  const child = spawn(nginx[0]!, [...nginx.slice(1), '-g', 'daemon off;'], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  const edge: Edge = {
    dir,
    https: `https://127.0.0.1:${ports.https}`,
    http: `http://127.0.0.1:${ports.http}`,
    operator: `http://127.0.0.1:${ports.operator}`,
    ca: readFileSync(join(dir, 'ssl/cert.pem'), 'utf8'),
    env: { ...database.env, ...overrides },
    daemons: running,
    nginx,
    kept: program === 'nginx-mainline',
    log: () => readLog(dir),
    started: [],
    stop: async () => {
      for (const one of edge.started) await end(one);
      child.kill('SIGTERM');
      await ended;
      await Promise.all(
        edge.daemons.map(
          (daemon) => daemon.child.exitCode === null && daemon.child.signalCode === null && daemon.kill('SIGKILL'),
        ),
      );
      await database.release();
      rmSync(dir, { recursive: true, force: true });
    },
  };
  if (watch) startWatch(edge);
  // A worker that a reload replaces may answer for a moment.
  let inARow = 0;
  const answersSteadily = async () => {
    const ready = (await requestEdge(edge, '/ready').catch(() => undefined))?.status === 200;
    inARow = ready ? inARow + 1 : 0;
    return inARow === 10;
  };
  await until(answersSteadily, 'nginx passes requests on');
  return edge;
}

/** Environment of a daemon with the certificates of make-mtls.sh. */
const encrypted = (dir: string): Record<string, string> => ({
  TLS_CERT_FILE: join(dir, 'mtls/daemon.pem'),
  TLS_KEY_FILE: join(dir, 'mtls/daemon.key'),
  TLS_CLIENT_CA_FILE: join(dir, 'mtls/ca.pem'),
  LOG_LEVEL: 'info',
});

/** Runs nginx/reload-on-change.sh for this nginx and these daemons. */
function startWatch(edge: Edge): void {
  const child = spawn(join(root, 'nginx/reload-on-change.sh'), {
    env: {
      PATH: `${edge.dir}:${process.env.PATH}`,
      UPSTREAMS: edge.daemons.map(({ url }) => new URL(url).host).join(' '),
      NGINX_CONF: join(edge.dir, 'nginx.conf'),
      NGINX_PID: join(edge.dir, 'nginx.pid'),
      SERVERS_FILE: join(edge.dir, 'agent-memory-servers.conf'),
      METRICS_FILE: join(edge.dir, 'agent-memory-metrics.conf'),
      ADMIN_PORT: edge.env.ADMIN_PORT ?? '',
      REPLACED_DIR: join(edge.dir, 'agent-memory-replaced'),
      SSL_DIR: join(edge.dir, 'ssl'),
      MTLS_DIR: join(edge.dir, 'mtls'),
    },
    stdio: 'ignore',
    detached: true,
  });
  edge.started.push(child);
}

/** With its `sleep`. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = once(child, 'exit');
  process.kill(-child.pid!, 'SIGKILL');
  await ended;
}

export function reload({ nginx }: Edge): void {
  execFileSync(nginx[0]!, [...nginx.slice(1), '-s', 'reload'], { stdio: 'ignore' });
}

function readLog(dir: string): Record<string, string | number>[] {
  const lines = readFileSync(join(dir, 'access.log'), 'utf8').split('\n');
  return lines.filter(Boolean).map((line) => JSON.parse(line));
}

export interface Told {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  /** Names with their number of occurrences. */
  names: string[];
  text: string;
}

export interface Asking {
  method?: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
  /** Source address on the loopback interface. */
  from?: string;
  timeout_ms?: number;
  /** Server name in the certificate. */
  unverified?: boolean;
  /** Uses the operator's port, without TLS. */
  inClear?: boolean;
  /** Keeps connections open between requests. Without an agent, each request opens a connection. */
  agent?: Agent;
}

/** A client with kept connections. */
export const keptConnections = () => new Agent({ keepAlive: true, scheduling: 'fifo' });

export function requestEdge({ https, operator, ca }: Edge, path: string, asking: Asking = {}): Promise<Told> {
  const {
    method = 'GET',
    headers = {},
    body,
    from,
    timeout_ms = 30_000,
    inClear = false,
    unverified = false,
    agent = false,
  } = asking;
  const options = { method, headers, agent: inClear ? false : agent, localAddress: from } as const;
  return new Promise((resolve, reject) => {
    const take = (res: IncomingMessage) => {
      const parts: Buffer[] = [];
      res.on('data', (part: Buffer) => parts.push(part)).once('error', reject);
      res.once('end', () => {
        const names = res.rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
        resolve({ status: res.statusCode!, headers: res.headers, names, text: Buffer.concat(parts).toString() });
      });
    };
    const req = inClear
      ? requestInClear(operator + path, options, take)
      : request(https + path, { ...options, ca, rejectUnauthorized: !unverified }, take);
    req.setTimeout(timeout_ms, () => req.destroy(new Error(`no answer to ${method} ${path} in ${timeout_ms} ms`)));
    req.once('error', reject).end(body);
  });
}

/** Returns the certificate that nginx presents. */
export const servedBy = ({ https }: Edge): Promise<X509Certificate> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: Number(new URL(https).port), rejectUnauthorized: false }, () => {
      resolve(socket.getPeerX509Certificate()!);
      socket.destroy();
    });
    socket.once('error', reject);
  });

export async function until(holds: () => boolean | Promise<boolean>, what: string, within_ms = 30_000): Promise<void> {
  const deadline = Date.now() + within_ms;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not within ${within_ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
