import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { loadConfig } from '../../../src/config.ts';
import { secretSettings, settings } from '../../../src/settings.ts';
import { type SpawnedDaemon, spawnDaemon } from '../../support/daemon.ts';
import { emptyDatabase } from '../../support/database.ts';

// The manifests and the daemon must agree. scripts/check-kubernetes.sh checks whether Kubernetes accepts the manifests.

const root = join(import.meta.dirname, '../../..');
const objects: any[] = readdirSync(join(root, 'kubernetes'))
  .filter((name) => name.endsWith('.yaml') && name !== 'kustomization.yaml')
  .flatMap((name) => parseAllDocuments(readFileSync(join(root, 'kubernetes', name), 'utf8')).map((one) => one.toJS()));
const of = (kind: string) => objects.filter((one) => one.kind === kind);
const config: Record<string, string> = of('ConfigMap').find((one) => one.metadata.name === 'agent-memory-config').data;
const template: Record<string, string> = of('Secret')[0].stringData;
const job = of('Job')[0].spec.template.spec;
const pod = of('Deployment')[0].spec.template.spec;
const daemon = pod.containers[0];

const mount = '/run/secrets/agent-memory';
const work = mkdtempSync(join(tmpdir(), 'agent-memory-kubernetes-'));
afterAll(() => rmSync(work, { recursive: true }));

/** Returns the environment of a pod, with its volumes under `work`. */
function environment(name: string, secrets: Record<string, string>): Record<string, string> {
  const at = join(work, name);
  mkdirSync(join(at, mount), { recursive: true });
  for (const [key, value] of Object.entries(secrets)) writeFileSync(join(at, mount, key), value);
  const placed = (value: string) => (value.startsWith('/') ? join(at, value) : value);
  return Object.fromEntries(Object.entries(config).map(([key, value]) => [key, placed(value)]));
}

test('every name in the ConfigMap and the Secret is a setting, and every secret is a file that its setting names', () => {
  const fromPod = daemon.env.map((one: any) => one.name).filter((name: string) => name !== 'POD_NAME');
  const names = [...Object.keys(config), ...Object.keys(template), ...fromPod].map((name) => name.replace(/_FILE$/, ''));
  expect(names.filter((name) => !(name in settings.shape))).toEqual([]);
  const files = Object.entries(config).filter(([name]) => name.endsWith('_FILE'));
  expect(
    files.map(([name]) => name.slice(0, -5)).filter((name) => !(secretSettings as readonly string[]).includes(name)),
  ).toEqual([]);
  expect(Object.fromEntries(files)).toEqual(
    Object.fromEntries(Object.keys(template).map((name) => [`${name}_FILE`, `${mount}/${name}`])),
  );
});

test('with the template of the secrets the daemon does not start, and names each of them', () => {
  const { status, stderr } = spawnSync(process.execPath, [join(root, 'dist/main.js')], {
    env: { PATH: process.env.PATH, ...environment('template', template) },
    encoding: 'utf8',
    timeout: 60_000,
  });
  expect(status).toBe(1);
  // Invalid keys are reported first.
  expect(stderr).toMatch(/ENCRYPTION_KEY: got .*JWT_SECRET: got/s);
  const key = Buffer.alloc(32, 'k').toString('base64');
  for (const name of Object.keys(template)) {
    const real = Object.fromEntries(Object.keys(template).map((one) => [one, one === name ? template[one]! : `${one} ${key}`]));
    const whole = { ...real, ...(name !== 'ENCRYPTION_KEY' && { ENCRYPTION_KEY: key }) };
    expect(() => loadConfig(environment(`all-but-${name}`, whole))).toThrow(
      new RegExp(`has 1 problem\\(s\\):\\s+- ${name}: got`),
    );
  }
});

test('with real secrets the Job migrates an empty database, then the daemon starts, answers every probe, and ends within its grace', async () => {
  const key = (name: string) => Buffer.alloc(32, name).toString('base64');
  const secrets = Object.fromEntries(Object.keys(template).map((name) => [name, key(name)]));
  const database = await emptyDatabase();
  const { host, port, user } = database.connection;
  const place = {
    PGHOST: host,
    PGPORT: String(port),
    PGUSER: user,
    PGDATABASE: database.connection.database,
    PGSSLMODE: 'disable',
  };
  const env = { ...environment('real', secrets), ...place, ERASURE_LEDGER: join(work, 'ledger', 'pod.ndjson') };
  let running: SpawnedDaemon | undefined;
  try {
    await expect(spawnDaemon(env, inProduction)).rejects.toThrow('migrate');
    const script = migrationScript();
    const said = execFileSync(process.execPath, ['--import', 'tsx', script, ...job.containers[0].command.slice(2)], {
      cwd: root,
      env: { PATH: process.env.PATH, ...env },
      encoding: 'utf8',
    });
    expect(said).toMatch(/^[1-9]\d* applied/);
    running = await spawnDaemon(env, inProduction);
    for (const probe of [daemon.startupProbe, daemon.livenessProbe, daemon.readinessProbe])
      expect((await fetch(running.url + probe.httpGet.path)).status).toBe(200);
    expect((await fetch(running.url + (of('ServiceMonitor')[0].spec.endpoints[0].path as string))).status).toBe(200);
    const began = Date.now();
    await running.kill('SIGTERM');
    expect(running.child.exitCode).toBe(0);
    expect(Date.now() - began).toBeLessThan((pod.terminationGracePeriodSeconds - daemon.lifecycle.preStop.sleep.seconds) * 1000);
  } finally {
    running?.child.kill('SIGKILL');
    await database.release();
  }
}, 120_000);

/** Unsets the settings of test daemons, because production needs real values, which the manifests provide. */
const inProduction = { NODE_ENV: 'production', BCRYPT_COST: '', JWT_SECRET: '', ENCRYPTION_KEY: '', RATE_LIMIT_ENABLED: '' };

/** The source of the program that the Job runs in the image. */
function migrationScript(): string {
  const [node, program] = job.containers[0].command;
  expect(node).toBe('node');
  const script = join(root, (program as string).replace(/^dist\/(.*)\.js$/, '$1.ts'));
  expect(existsSync(script)).toBe(true);
  return script;
}

test('a pod’s grace period exceeds its preStop and the longest drain, and the readiness timeout exceeds that of the database ping', () => {
  const valid = Object.fromEntries(Object.keys(template).map((name) => [name, Buffer.alloc(32, name).toString('base64')]));
  const { SHUTDOWN_DELAY_MS, SHUTDOWN_TIMEOUT_MS } = loadConfig(environment('grace', valid));
  const constant = (file: string, name: string) =>
    Number(new RegExp(`${name} = ([\\d_]+)`).exec(readFileSync(join(root, file), 'utf8'))![1]!.replaceAll('_', ''));
  const drain = SHUTDOWN_DELAY_MS + SHUTDOWN_TIMEOUT_MS + constant('src/main.ts', 'FORCED_EXIT_MS');
  expect(pod.terminationGracePeriodSeconds * 1000).toBeGreaterThan(daemon.lifecycle.preStop.sleep.seconds * 1000 + drain);
  expect(daemon.readinessProbe.timeoutSeconds * 1000).toBeGreaterThan(constant('src/health/index.ts', 'PING_TIMEOUT_MS'));
});

const routesOf = (ingress: any): string[] => ingress.spec.rules[0].http.paths.map((one: any) => one.path);
const isUnder = (route: string, path: string) => route === path || route.startsWith(`${path}/`);
const { paths: routes } = JSON.parse(readFileSync(join(root, 'openapi.json'), 'utf8'));

test('the Ingress forwards every route except the metrics', () => {
  const paths = of('Ingress').flatMap(routesOf);
  const pages = ['/openapi.json', '/llms.txt', '/docs', '/docs/problems'];
  const kept = [...Object.keys(routes), ...pages].filter((route) => !paths.some((path) => isUnder(route, path)));
  expect(kept.sort()).toEqual(['/metrics', '/metrics/json']);
});

test('every Ingress limits bodies, rates and connections to little more than the daemon accepts', () => {
  const units: Record<string, number> = { k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };
  const annotation = (ingress: any, name: string) => ingress.metadata.annotations[`nginx.ingress.kubernetes.io/${name}`];
  const bytes = (text: string) => Number(text.slice(0, -1)) * units[text.at(-1)!]!;
  /** Returns the longest path of the Ingress that matches a route. */
  const boundOf = (route: string) =>
    of('Ingress')
      .flatMap((ingress) => routesOf(ingress).map((path) => ({ path, bound: bytes(annotation(ingress, 'proxy-body-size')) })))
      .filter(({ path }) => isUnder(route, path))
      .sort((one, other) => other.path.length - one.path.length)[0]!.bound;
  const { MAX_BODY_BYTES, MAX_BATCH_BYTES, MAX_ARTIFACT_BYTES, MAX_IMPORT_BYTES } = loadConfig({});
  const taken: [string, number][] = [
    ['/v1/events', MAX_BATCH_BYTES],
    ['/v1/artifacts', MAX_ARTIFACT_BYTES],
    ['/v1/import', MAX_IMPORT_BYTES],
    ['/v1/memories', MAX_BODY_BYTES],
  ];
  for (const [route, bound] of taken) {
    expect([route, boundOf(route)]).toEqual([route, expect.any(Number)]);
    expect(boundOf(route)).toBeGreaterThanOrEqual(bound);
    expect(boundOf(route)).toBeLessThanOrEqual(1.25 * bound);
  }
  expect(boundOf('/auth/login')).toBeLessThan(MAX_BODY_BYTES);
  for (const ingress of of('Ingress'))
    for (const name of ['limit-rps', 'limit-connections', 'limit-burst-multiplier'])
      expect(Number(annotation(ingress, name))).toBeGreaterThan(0);
});

test('the ledger of erasures is on a volume that all pods can write and that outlives them', () => {
  const claim = of('PersistentVolumeClaim').find((one) => one.metadata.name === 'agent-memory-ledger');
  expect(claim.spec.accessModes).toEqual(['ReadWriteMany']);
  expect(pod.volumes).toContainEqual({ name: 'ledger', persistentVolumeClaim: { claimName: claim.metadata.name } });
  const { mountPath } = daemon.volumeMounts.find((one: any) => one.name === 'ledger');
  expect(daemon.env.find((one: any) => one.name === 'ERASURE_LEDGER').value).toMatch(new RegExp(`^${mountPath}/`));
});

test('a CronJob makes a daily backup with retries, and writes it to a claim', () => {
  const { spec } = of('CronJob')[0];
  expect(spec.schedule).toMatch(/^\d+ \d+ \* \* \*$/);
  expect(spec.concurrencyPolicy).toBe('Forbid');
  expect(spec.jobTemplate.spec.backoffLimit).toBeGreaterThan(1);
  const { containers, volumes } = spec.jobTemplate.spec.template.spec;
  expect(existsSync(join(root, containers[0].command[0]))).toBe(true);
  const named = (list: any[], name: string) => list.find((one: any) => one.name === name);
  expect(named(containers[0].env, 'BACKUP_DIR').value).toBe(named(containers[0].volumeMounts, 'backups').mountPath);
  const claims = of('PersistentVolumeClaim').map((one) => one.metadata.name);
  expect(claims).toContain(named(volumes, 'backups').persistentVolumeClaim.claimName);
});

test('the ConfigMap of the dashboards contains those of monitoring/grafana', () => {
  const { data, metadata } = of('ConfigMap').find((one) => one.metadata.name === 'agent-memory-dashboards');
  expect(metadata.labels.grafana_dashboard).toBe('1');
  const folder = join(root, 'monitoring/grafana/dashboards');
  const files = readdirSync(folder).map((name) => [`agent-memory-${name}`, JSON.parse(readFileSync(join(folder, name), 'utf8'))]);
  expect(Object.entries(data).map(([name, text]) => [name, JSON.parse(text as string)])).toEqual(files);
});

test('the maximum number of daemons fits into the default 100 connections of PostgreSQL', () => {
  const { maxReplicas } = of('HorizontalPodAutoscaler')[0].spec;
  // A rollout has one pod more. Each daemon also has a listening connection, the migration has one, and three are reserved for superusers.
  expect((maxReplicas + 2) * (Number(config.PGPOOL_MAX) + 1) + 1).toBeLessThanOrEqual(100 - 3 - 5);
});

test('selectors match the daemon’s pods, and references name existing objects', () => {
  const labels = of('Deployment')[0].spec.template.metadata.labels;
  const selectors = [
    of('Deployment')[0].spec.selector.matchLabels,
    of('Service')[0].spec.selector,
    of('PodDisruptionBudget')[0].spec.selector.matchLabels,
    ...pod.topologySpreadConstraints.map((one: any) => one.labelSelector.matchLabels),
  ];
  for (const selector of selectors) expect(selector).toEqual(labels);
  expect(of('ServiceMonitor')[0].spec.selector.matchLabels).toEqual(of('Service')[0].metadata.labels);
  expect(of('HorizontalPodAutoscaler')[0].spec.scaleTargetRef.name).toBe(of('Deployment')[0].metadata.name);
  const [service] = of('Service');
  for (const { backend } of of('Ingress').flatMap((ingress) => ingress.spec.rules[0].http.paths))
    expect(backend.service).toEqual({ name: service.metadata.name, port: { name: service.spec.ports[0].name } });
  for (const spec of [pod, job, of('CronJob')[0].spec.jobTemplate.spec.template.spec]) {
    expect(spec.serviceAccountName).toBe(of('ServiceAccount')[0].metadata.name);
    expect(spec.volumes.find((one: any) => one.name === 'secrets').secret.secretName).toBe(of('Secret')[0].metadata.name);
    expect(spec.containers[0].envFrom).toEqual([{ configMapRef: { name: 'agent-memory-config' } }]);
  }
});
