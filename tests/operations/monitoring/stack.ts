import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import { freePort } from '../../support/daemon.ts';
import { toolOf } from '../../support/tool.ts';

// Prometheus and its exporters as Debian has them, with the configuration of monitoring/: only addresses and intervals are changed.

const monitoring = join(import.meta.dirname, '../../../monitoring');

export interface Stack {
  /** What the query gives now: its samples that are a number. */
  query(promql: string): Promise<Sample[]>;
  /** The rules as Prometheus has evaluated them last. */
  rules(): Promise<{ name: string; type: string; health: string; lastError?: string; query: string }[]>;
  stop(): Promise<void>;
}

export interface Sample {
  metric: Record<string, string>;
  value: [number, string];
}

export async function startStack(daemons: string[]): Promise<Stack> {
  const dir = mkdtempSync(join(tmpdir(), 'monitoring-'));
  const [node, blackbox, prometheus] = [await freePort(), await freePort(), await freePort()];
  const edge = await startEdge(dir);
  // as scripts/backup.sh writes it
  const figures = { timestamp_seconds: Math.floor(Date.now() / 1000) - 3600, size_bytes: 1e6, duration_seconds: 4 };
  const text = `agent_memory_backup_last_success_timestamp_seconds ${figures.timestamp_seconds}
agent_memory_backup_last_size_bytes ${figures.size_bytes}
agent_memory_backup_last_duration_seconds ${figures.duration_seconds}
`;
  writeFileSync(join(dir, 'backup.prom'), text);
  writeFileSync(join(dir, 'prometheus.yml'), configured({ daemons, node, blackbox, prometheus, edge: edge.url }));
  const children = [
    run('prometheus-node-exporter', [`--web.listen-address=127.0.0.1:${node}`, `--collector.textfile.directory=${dir}`]),
    run('prometheus-blackbox-exporter', [
      `--web.listen-address=127.0.0.1:${blackbox}`,
      `--config.file=${monitoring}/blackbox.yml`,
    ]),
    run('prometheus', [
      `--config.file=${dir}/prometheus.yml`,
      `--storage.tsdb.path=${dir}/data`,
      `--web.listen-address=127.0.0.1:${prometheus}`,
    ]),
  ];
  const api = `http://127.0.0.1:${prometheus}/api/v1`;
  // it listens before it can answer
  for (
    let i = 0;
    i < 600 &&
    !(await fetch(`http://127.0.0.1:${prometheus}/-/ready`).then(
      ({ ok }) => ok,
      () => false,
    ));
    i += 1
  )
    await sleep(100);
  return {
    query: async (promql) => {
      const { result } = await ask<{ result: Sample[] }>(`${api}/query`, { query: promql });
      return result.filter(({ value }) => value[1] !== 'NaN');
    },
    rules: async () => (await ask<{ groups: { rules: never[] }[] }>(`${api}/rules`)).groups.flatMap(({ rules }) => rules),
    stop: async () => {
      await Promise.all(children.map(end));
      edge.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function ask<T>(url: string, parameters: Record<string, string> = {}): Promise<T> {
  const response = await fetch(`${url}?${new URLSearchParams(parameters)}`);
  const { status, data, error } = (await response.json()) as { status: string; data: T; error?: string };
  if (status !== 'success') throw new Error(`${parameters.query}: ${error}`);
  return data;
}

interface Places {
  daemons: string[];
  node: number;
  blackbox: number;
  prometheus: number;
  edge: string;
}

interface ScrapeConfig {
  job_name: string;
  static_configs: { targets: string[] }[];
  relabel_configs: { target_label: string; replacement?: string }[];
}

function configured({ daemons, node, blackbox, prometheus, edge }: Places): string {
  const config = parse(readFileSync(join(monitoring, 'prometheus.yml'), 'utf8'));
  config.global = { scrape_interval: '1s', evaluation_interval: '1s' };
  config.rule_files = config.rule_files.map((pattern: string) => join(monitoring, pattern));
  const targets: Record<string, string[]> = {
    'agent-memory': daemons.map((url) => new URL(url).host),
    node: [`127.0.0.1:${node}`],
    edge: [edge],
    prometheus: [`127.0.0.1:${prometheus}`],
  };
  for (const job of config.scrape_configs as ScrapeConfig[]) {
    job.static_configs = [{ targets: targets[job.job_name]! }];
    const exporter = job.relabel_configs?.find(({ target_label }) => target_label === '__address__');
    if (exporter) exporter.replacement = `127.0.0.1:${blackbox}`;
  }
  return stringify(config);
}

/** Where nginx would stand: TLS with a certificate of its own making. */
async function startEdge(dir: string): Promise<{ url: string; stop(): void }> {
  const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '60', '-subj', '/CN=memory-api.example.com'];
  execFileSync('openssl', [...request, '-keyout', key, '-out', cert], { stdio: 'ignore' });
  const port = await freePort();
  const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_req, res) => res.end('{}'));
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const stop = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `https://127.0.0.1:${port}/health`, stop };
}

const run = (name: string, args: string[]): ChildProcess => spawn(toolOf(name)!, args, { stdio: 'ignore' });

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}
