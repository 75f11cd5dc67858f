import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Config, loadConfig } from '../../src/config.ts';
import { openRedis, type RedisLink } from '../../src/redis/index.ts';
import { freePort } from './port.ts';
import { findTool } from './tool.ts';

// Real Redis servers on local ports: single, a cluster, with TLS, and with sentinels.

const run = promisify(execFile);

export interface RedisServer {
  port: number;
  process: ChildProcess;
  /** Runs redis-cli and returns its output. */
  cli(...args: string[]): Promise<string>;
  kill(signal?: NodeJS.Signals): Promise<void>;
}

/** Starts a server that keeps nothing on disk. `options`: further arguments of redis-server. */
export async function startRedis(options: string[] = [], port?: number): Promise<RedisServer> {
  const at = port ?? (await freePort());
  const settings = [
    '--port',
    String(at),
    '--bind',
    '127.0.0.1',
    '--save',
    '',
    '--appendonly',
    'no',
    '--dir',
    tmpdir(),
    ...options,
  ];
  return serverOf(at, settings, 'Ready to accept connections');
}

async function serverOf(port: number, args: string[], ready: string): Promise<RedisServer> {
  const child = spawn(findTool('redis-server')!, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let output = '';
  for await (const part of child.stdout!) {
    output += part;
    if (output.includes(ready)) break;
  }
  if (!output.includes(ready)) throw new Error(`redis-server did not start: ${output}`);
  return {
    port,
    process: child,
    cli: async (...words) => (await run('redis-cli', ['-p', String(port), ...words])).stdout.trim(),
    kill: async (signal = 'SIGKILL') => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill(signal);
      await exited;
    },
  };
}

export interface RedisCluster {
  nodes: RedisServer[];
  stop(): Promise<void>;
}

/** Starts a cluster of primary servers. Keys of a lost node are lost; the others remain available. */
export async function startRedisCluster(size = 3): Promise<RedisCluster> {
  const dir = mkdtempSync(join(tmpdir(), 'redis-cluster-'));
  const nodes: RedisServer[] = [];
  for (let i = 0; i < size; i += 1) {
    const own = join(dir, String(i));
    mkdirSync(own);
    const bus = String(await freePort());
    const options = ['--cluster-enabled', 'yes', '--cluster-port', bus, '--cluster-node-timeout', '1000', '--dir', own];
    nodes.push(
      await startRedis([
        ...options,
        ...['--cluster-require-full-coverage', 'no', '--cluster-announce-hostname', `node-${i}.redis.invalid`],
      ]),
    );
  }
  const addresses = nodes.map(({ port }) => `127.0.0.1:${port}`);
  await run('redis-cli', ['--cluster', 'create', ...addresses, '--cluster-replicas', '0', '--cluster-yes']);
  while (!(await nodes[0]!.cli('cluster', 'info')).includes('cluster_state:ok')) await new Promise((r) => setTimeout(r, 50));
  return {
    nodes,
    stop: async () => {
      for (const node of nodes) await node.kill();
      rmSync(dir, { recursive: true });
    },
  };
}

/** Starts a sentinel that watches a primary server, and fails over after half a second. */
export async function startSentinel(primary: RedisServer, dir: string): Promise<RedisServer> {
  const port = await freePort();
  const file = join(dir, 'sentinel.conf');
  writeFileSync(
    file,
    [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${dir}`,
      `sentinel monitor mymaster 127.0.0.1 ${primary.port} 1`,
      'sentinel down-after-milliseconds mymaster 500',
      'sentinel failover-timeout mymaster 2000',
    ].join('\n'),
  );
  return serverOf(port, [file, '--sentinel'], '+monitor');
}

export interface Certificates {
  ca: string;
  cert: string;
  key: string;
}

/** Makes a certificate authority and a server certificate for one host name. */
export function makeCertificates(dir: string, name: string): Certificates {
  const at = (file: string) => join(dir, file);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'ignore' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...key, '-days', '2', '-subj', '/CN=test CA', '-keyout', at('ca.key'), '-out', at('ca.crt'));
  openssl('req', ...key, '-subj', `/CN=${name}`, '-keyout', at('redis.key'), '-out', at('redis.csr'));
  writeFileSync(at('names'), `subjectAltName=DNS:${name}`);
  const signed = ['-CA', at('ca.crt'), '-CAkey', at('ca.key'), '-CAcreateserial', '-days', '2', '-extfile', at('names')];
  openssl('x509', '-req', '-in', at('redis.csr'), ...signed, '-out', at('redis.crt'));
  return { ca: at('ca.crt'), cert: at('redis.crt'), key: at('redis.key') };
}

/** Arguments of a server that speaks only TLS. */
export const tlsOptions = (port: number, { ca, cert, key }: Certificates): string[] => [
  ...['--port', '0', '--tls-port', String(port), '--tls-auth-clients', 'no'],
  ...['--tls-ca-cert-file', ca, '--tls-cert-file', cert, '--tls-key-file', key],
];

export const redisConfig = (env: Record<string, string>): Config => loadConfig({ NODE_ENV: 'test', ...env });

const noMeters = {
  gauge: () => undefined,
  total: () => undefined,
  store: () => ({ answered: () => undefined, connected: () => undefined }),
};

/** Opens a connection as a daemon does. `debug` is called at each failure. */
export const openLink = (env: Record<string, string>, debug: () => void = () => undefined): RedisLink =>
  openRedis(redisConfig(env), noMeters, { debug })!;
