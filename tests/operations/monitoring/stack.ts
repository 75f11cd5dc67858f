import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import { freePort } from '../../support/daemon.ts';
import { findTool } from '../../support/tool.ts';

// Prometheus and its exporters from Debian, with the configuration of monitoring/. Only addresses and intervals are changed.

const monitoring = join(import.meta.dirname, '../../../monitoring');

export interface Stack {
  /** Returns the numeric samples of a query now. */
  query(promql: string): Promise<Sample[]>;
  /** Returns the rules as last evaluated. */
  rules(): Promise<{ name: string; type: string; health: string; lastError?: string; query: string }[]>;
  stop(): Promise<void>;
}

interface Sample {
  metric: Record<string, string>;
  value: [number, string];
}

export interface Surroundings {
  daemons: string[];
  /** The database, in the form that postgres_exporter expects. */
  database: string;
  /** The URL that Alertmanager sends alerts to. */
  webhook: string;
}

export async function startStack({ daemons, database, webhook }: Surroundings): Promise<Stack> {
  const dir = mkdtempSync(join(tmpdir(), 'monitoring-'));
  const [node, blackbox, prometheus] = [await freePort(), await freePort(), await freePort()];
  const [postgres, alertmanager] = [await freePort(), await freePort()];
  const edge = await startEdge(dir);
  writeFileSync(join(dir, 'backup.prom'), figures('agent_memory_backup') + figures('agent_memory_base_backup'));
  const places = { daemons, node, blackbox, prometheus, edge: edge.url, postgres, alertmanager };
  writeFileSync(join(dir, 'prometheus.yml'), configured(places));
  const children = startPrograms(dir, places, database, webhook);
  const api = `http://127.0.0.1:${prometheus}/api/v1`;
  // It listens before it can answer.
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

function startPrograms(dir: string, places: Places, database: string, webhook: string): ChildProcess[] {
  const { node, blackbox, prometheus, postgres, alertmanager } = places;
  return [
    run('prometheus-node-exporter', [`--web.listen-address=127.0.0.1:${node}`, `--collector.textfile.directory=${dir}`]),
    run('prometheus-blackbox-exporter', [
      `--web.listen-address=127.0.0.1:${blackbox}`,
      `--config.file=${monitoring}/blackbox.yml`,
    ]),
    run(
      'prometheus-postgres-exporter',
      [
        `--web.listen-address=127.0.0.1:${postgres}`,
        `--extend.query-path=${monitoring}/postgres.yml`,
        '--disable-default-metrics',
        '--disable-settings-metrics',
      ],
      { DATA_SOURCE_NAME: database },
    ),
    spawn(
      join(monitoring, 'alertmanager.sh'),
      [
        findTool('prometheus-alertmanager')!,
        `--web.listen-address=127.0.0.1:${alertmanager}`,
        `--storage.path=${dir}/alerts`,
        '--cluster.listen-address=',
      ],
      {
        stdio: 'ignore',
        env: {
          PATH: process.env.PATH,
          ALERT_WEBHOOK_URL: webhook,
          ALERT_GROUP_WAIT: '1s',
          ALERTMANAGER_CONFIG: `${dir}/alertmanager.yml`,
        },
      },
    ),
    run('prometheus', [
      `--config.file=${dir}/prometheus.yml`,
      `--storage.tsdb.path=${dir}/data`,
      `--web.listen-address=127.0.0.1:${prometheus}`,
    ]),
  ];
}

/** Writes metrics as scripts/backup.sh and base-backup.sh do. */
const figures = (prefix: string) => `${prefix}_last_success_timestamp_seconds ${Math.floor(Date.now() / 1000) - 3600}
${prefix}_last_size_bytes 1000000
${prefix}_last_duration_seconds 4
`;

interface Places {
  postgres: number;
  alertmanager: number;
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

function configured({ daemons, node, blackbox, prometheus, edge, postgres, alertmanager }: Places): string {
  const config = parse(readFileSync(join(monitoring, 'prometheus.yml'), 'utf8'));
  config.global = { scrape_interval: '1s', evaluation_interval: '1s' };
  config.rule_files = config.rule_files.map((pattern: string) => join(monitoring, pattern));
  const targets: Record<string, string[]> = {
    'agent-memory': daemons.map((url) => new URL(url).host),
    node: [`127.0.0.1:${node}`],
    edge: [edge],
    prometheus: [`127.0.0.1:${prometheus}`],
    postgres: [`127.0.0.1:${postgres}`],
    alertmanager: [`127.0.0.1:${alertmanager}`],
  };
  config.alerting.alertmanagers[0].static_configs = [{ targets: targets.alertmanager }];
  for (const job of config.scrape_configs as ScrapeConfig[]) {
    job.static_configs = [{ targets: targets[job.job_name]! }];
    const exporter = job.relabel_configs?.find(({ target_label }) => target_label === '__address__');
    if (exporter) exporter.replacement = `127.0.0.1:${blackbox}`;
  }
  return stringify(config);
}

/** Replaces nginx: a TLS server with a self-signed certificate. */
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

const run = (name: string, args: string[], env: NodeJS.ProcessEnv = {}): ChildProcess =>
  spawn(findTool(name)!, args, { stdio: 'ignore', env: { ...process.env, ...env } });

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}
