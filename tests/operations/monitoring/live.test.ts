import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'yaml';
import { type ModelServer, startModelServer } from '../../embeddings/model_server.ts';
import { modelEnv } from '../../embeddings/open_models.ts';
import { type TestConnection, withClient } from '../../support/cluster.ts';
import { type SpawnedDaemon, spawnDaemon } from '../../support/daemon.ts';
import { cloneDatabase, serverConnection, type TestDatabase } from '../../support/database.ts';
import { eventually } from '../../support/eventually.ts';
import { describeWith } from '../../support/tool.ts';
import { type Receiver, startReceiver } from '../../webhooks/receiver.ts';
import { settings, startLoad } from './load.ts';
import { type Stack, startStack } from './stack.ts';

// Runs every query of a dashboard, an alert or a runbook on a real Prometheus that scrapes two real daemons under load, to detect renamed metrics
// and labels.

const root = join(import.meta.dirname, '../../..');
const read = (...path: string[]) => readFileSync(join(root, ...path), 'utf8');
/** Time from the start of the load until each metric has been scraped often enough. */
const WARM_MS = 60_000;
const PATIENCE_MS = 3_000;

interface Panel {
  title: string;
  targets: { expr: string }[];
}
const boards = readdirSync(join(root, 'monitoring/grafana/dashboards'));
const panels = boards.flatMap((board) =>
  (JSON.parse(read('monitoring/grafana/dashboards', board)) as { panels: Panel[] }).panels.flatMap(({ title, targets }) =>
    targets.map(({ expr }) => [board, title, expr] as const),
  ),
);
/** Substitutes Grafana's variables: all daemons, and an interval of several scrapes. */
const filled = (expr: string) => expr.replaceAll('$instance', '.*').replaceAll('$__rate_interval', '30s');

const alerts: { alert: string; expr: string }[] = parse(read('monitoring/rules/alerts.yml')).groups.flatMap(
  ({ rules }: { rules: { alert: string; expr: string }[] }) => rules,
);
const spans = readdirSync(join(root, 'docs/runbooks')).flatMap((page) =>
  [...read('docs/runbooks', page).matchAll(/```sql\n([^`]*)```|`([^`]+)`/g)].map(
    ([, block, span]) => [page, (span ?? block)!.trim()] as const,
  ),
);
const queries = spans.filter(([, text]) => /^(sum|rate|topk|count|histogram_quantile)\b.*\(/.test(text));
/** Without those that take a name, such as `<pid>`. */
const statements = spans.filter(([, text]) => /^select\b[\s\S]*;$/.test(text) && !/<\w+>/.test(text));

/** The queries of the AgentState guide, and of the metrics that it names for diagnosis. */
const guideQueries = [
  'histogram_quantile(0.95, rate(op_duration_seconds_bucket[5m]))',
  'watch_backlog_events > 1000',
  'sum(rate(agentstate_ops_total{result="error"}[5m])) / sum(rate(agentstate_ops_total[5m]))',
  'histogram_quantile(0.95, rate(watch_emit_lag_seconds_bucket[5m]))',
  'watch_clients_total > 0',
  'watch_drops_total',
  'rate(rate_limit_exceeded_total[5m])',
];

/** Returns the series in a query: names with their labels, without functions, keywords and grouping labels. */
function selectorsOf(expr: string): string[] {
  const withoutTexts = expr.replace(/,\s*"[^"]*"(?=\s*[,)])/g, ' ');
  const bare = withoutTexts
    .replace(/\[\w+\]/g, ' ')
    .replace(/\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, ' ');
  const names = [...bare.matchAll(/([a-z_:][\w:]*)\s*(\{[^}]*\})?(?!\s*\(|[\w:])/g)];
  return names.map(([, name, labels = '']) => name + labels).filter((name) => !/^(and|or|unless|bool|offset)$/.test(name));
}

/** The login of monitoring/postgres.yml, with only pg_monitor. */
async function withMonitor({ host, port, database }: TestConnection): Promise<{ url: string; drop(): Promise<void> }> {
  const [name, password] = [`monitor_${randomBytes(4).toString('hex')}`, randomBytes(16).toString('hex')];
  const asAdmin = (...statements: string[]) =>
    withClient(serverConnection(), async (client) => {
      for (const statement of statements) await client.query(statement);
    });
  await asAdmin(`create role ${name} login password '${password}'`, `grant pg_monitor to ${name}`);
  return {
    url: `postgresql://${name}:${password}@${host}:${port}/${database}?sslmode=disable`,
    drop: () => asAdmin(`drop role ${name}`),
  };
}

/** Causes a deadlock of two sessions. */
async function deadlock(connection: TestConnection): Promise<void> {
  const lock = (number: number) => `select pg_advisory_xact_lock(${number})`;
  await withClient(connection, (one) =>
    withClient(connection, async (other) => {
      await one.query(`begin; ${lock(1)}`);
      await other.query(`begin; ${lock(2)}`);
      const ended = await Promise.allSettled([one.query(lock(2)), other.query(lock(1))]);
      expect(ended.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    }),
  );
}

const tools = [
  'prometheus',
  'prometheus-node-exporter',
  'prometheus-blackbox-exporter',
  'prometheus-postgres-exporter',
  'prometheus-alertmanager',
  'openssl',
];
describeWith(tools, 'a real Prometheus', () => {
  let database: TestDatabase;
  const daemons: SpawnedDaemon[] = [];
  let models: ModelServer | undefined;
  let load: { stop(): Promise<void> };
  let stack: Stack;
  let monitor: { url: string; drop(): Promise<void> };
  let called: Receiver;
  let begun: number;

  beforeAll(async () => {
    database = await cloneDatabase();
    const { host, port, user, database: name, password } = database.connection;
    const env = { PGHOST: host, PGPORT: String(port), PGUSER: user, PGDATABASE: name, ...(password && { PGPASSWORD: password }) };
    models = await startModelServer();
    // the series of the endpoints exist only if these are configured
    for (let i = 0; i < 2; i += 1) daemons.push(await spawnDaemon(env, { ...settings, ...modelEnv(models.url) }));
    monitor = await withMonitor(database.connection);
    called = await startReceiver();
    stack = await startStack({ daemons: daemons.map(({ url }) => url), database: monitor.url, webhook: called.url });
    begun = Date.now();
    load = await startLoad([daemons[0]!.url, daemons[1]!.url]);
  });
  afterAll(async () => {
    await load?.stop();
    await stack?.stop();
    for (const daemon of daemons) await daemon.kill('SIGTERM');
    await models?.kill();
    await called?.close();
    await monitor?.drop();
    await database?.release();
  });

  /** Waits for the first results, which take a few scrapes. */
  async function dataOf(promql: string) {
    const until = Math.max(begun + WARM_MS, Date.now() + PATIENCE_MS);
    for (;;) {
      const samples = await stack.query(promql).catch((error: Error) => {
        if (/ECONNREFUSED|fetch failed/.test(`${error.message}${error.cause}`)) return [];
        throw error;
      });
      if (samples.length > 0 || Date.now() > until) return samples;
      await sleep(500);
    }
  }

  test('Prometheus scrapes all targets of its configuration', async () => {
    expect((await dataOf('count(up == 1) == 7')).map(({ value }) => value[1])).toEqual(['7']);
  });

  test.each(panels)('%s, %s: %s', async (_board, _title, expr) => {
    expect(await dataOf(filled(expr))).not.toEqual([]);
  });

  test.each(alerts.map(({ alert, expr }) => [alert, expr]))('the series of %s exist', async (_alert, expr) => {
    const selectors = selectorsOf(expr);
    expect(selectors.length).toBeGreaterThan(0);
    for (const selector of selectors) expect([selector, await dataOf(selector)]).not.toEqual([selector, []]);
  });

  test.each(queries)('%s: %s', async (_page, promql) => {
    expect(await dataOf(promql)).not.toEqual([]);
  });

  test.each(guideQueries)('the AgentState guide: %s', async (promql) => {
    expect(await dataOf(promql)).not.toEqual([]);
  });

  test('the pages contain queries and statements to run', () => {
    expect(queries.length).toBeGreaterThan(4);
    expect(statements.length).toBeGreaterThan(4);
  });

  test.each(statements)('%s: %s', async (_page, statement) => {
    await withClient(database.connection, (client) => client.query(statement));
  });

  test('no rule has an error, and no alert fires for a healthy system', async () => {
    const rules = await stack.rules();
    expect(rules.filter(({ health }) => health !== 'ok')).toEqual([]);
    expect(rules.filter(({ type }) => type === 'alerting')).toHaveLength(alerts.length);
    // Ignores alerts about the disk of this machine.
    const firing = await stack.query('ALERTS{alertstate="firing", severity="page", alertname!="DiskLow"}');
    expect(firing.map(({ metric }) => metric.alertname)).toEqual([]);
  });

  test('an alert reaches the webhook', async () => {
    await deadlock(database.connection);
    const told = () =>
      called.got.flatMap(({ body }) => (JSON.parse(body) as { alerts: { labels: Record<string, string> }[] }).alerts);
    await eventually(() => told().some(({ labels }) => labels.alertname === 'Deadlocks'), 'a call about the deadlock');
  });
});
