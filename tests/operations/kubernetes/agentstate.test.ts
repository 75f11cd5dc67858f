import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { loadConfig } from '../../../src/config.ts';
import { secretSettings, settings } from '../../../src/settings.ts';
import { spawnDaemon } from '../../support/daemon.ts';
import { cloneDataDir } from '../../support/database.ts';
import { describeWith, findTool } from '../../support/tool.ts';

// The chart with the values of the AgentState guide (agentstate-values.yaml).

const root = join(import.meta.dirname, '../../..');
const values = join(import.meta.dirname, 'agentstate-values.yaml');

function render(...options: string[]) {
  const args = [
    'template',
    'agentstate',
    join(root, 'kubernetes/helm/agent-memory'),
    '-n',
    'agentstate',
    '--kube-version',
    '1.30.0',
  ];
  return spawnSync(findTool('helm')!, [...args, ...options], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
}
const objectsOf = (...options: string[]): any[] => {
  const { status, stdout, stderr } = render(...options);
  expect([status, stderr]).toEqual([0, '']);
  return parseAllDocuments(stdout).flatMap((one) => one.toJS() ?? []);
};
const of = (objects: any[], kind: string) => objects.filter((one) => one.kind === kind);
const named = (list: any[], name: string) => list.find((one) => (one.metadata ?? one).name === name);
const settingsOf = (objects: any[]) => named(of(objects, 'ConfigMap'), 'agent-memory-config').data as Record<string, string>;

describeWith(['helm'], 'the chart with the values of the AgentState guide', () => {
  let objects: any[];
  let pod: any;
  beforeAll(() => {
    objects = objectsOf('-f', values);
    pod = of(objects, 'StatefulSet')[0].spec.template;
  });

  test('one pod of a StatefulSet has the embedded database on a volume that it can write', () => {
    const { spec } = of(objects, 'StatefulSet')[0];
    expect(spec.replicas).toBe(1);
    expect(spec.volumeClaimTemplates).toEqual([
      {
        metadata: { name: 'data' },
        spec: { accessModes: ['ReadWriteOnce'], storageClassName: 'gp2', resources: { requests: { storage: '10Gi' } } },
      },
    ]);
    expect(named(pod.spec.containers[0].volumeMounts, 'data').mountPath).toBe('/data');
    expect(pod.spec.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 1000, fsGroup: 1000 });
    expect(spec.selector.matchLabels).toEqual(pod.metadata.labels);
    for (const kind of [
      'Deployment',
      'HorizontalPodAutoscaler',
      'PodDisruptionBudget',
      'Job',
      'CronJob',
      'PersistentVolumeClaim',
    ])
      expect([kind, of(objects, kind)]).toEqual([kind, []]);
  });

  test('image and resources are as given', () => {
    const { image, resources } = pod.spec.containers[0];
    expect(image).toBe('ghcr.io/REPLACE_ORG/agentstate-server:v0.1.0-rc.1');
    expect(resources).toMatchObject({ requests: { cpu: '100m', memory: '128Mi' }, limits: { cpu: '500m', memory: '512Mi' } });
  });

  test('env and secrets are settings, and the secrets that are missing are generated', () => {
    const config = settingsOf(objects);
    expect(config).toMatchObject({ DATA_DIR: '/data', REGION: 'us-west-2', DEV_MODE: 'false', NODE_ENV: 'development' });
    const isForPod = (name: string) =>
      name in settings.shape || (secretSettings as readonly string[]).includes(name.replace(/_FILE$/, ''));
    expect(Object.keys(config).filter((name) => name.startsWith('PG') || !isForPod(name))).toEqual([]);
    const [secret] = of(objects, 'Secret');
    expect(Object.keys(secret.stringData).sort()).toEqual(['CAP_KEY_ACTIVE', 'CAP_KEY_ACTIVE_ID']);
    for (const name of Object.keys(secret.stringData)) expect(config[`${name}_FILE`]).toBe(`/run/secrets/agent-memory/${name}`);
  });

  test('TLS has a certificate of cert-manager, for probes, Ingress and scrapes too', () => {
    const [certificate] = of(objects, 'Certificate');
    const { secretName, issuerRef, dnsNames } = certificate.spec;
    expect(named(pod.spec.volumes, 'tls').secret.secretName).toBe(secretName);
    expect(named(of(objects, 'Issuer'), issuerRef.name).spec).toEqual({ selfSigned: {} });
    expect(dnsNames).toContain(`${of(objects, 'Service')[0].metadata.name}.agentstate.svc`);
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe'])
      expect(pod.spec.containers[0][probe].httpGet.scheme).toBe('HTTPS');
    for (const { metadata } of of(objects, 'Ingress'))
      expect(metadata.annotations['nginx.ingress.kubernetes.io/backend-protocol']).toBe('HTTPS');
    expect(pod.metadata.annotations).toMatchObject({
      'prometheus.io/scrape': 'true',
      'prometheus.io/scheme': 'https',
      'prometheus.io/port': '3000',
      'prometheus.io/path': '/metrics',
    });
  });

  test('the dashboards are in the ConfigMap that the guide reads', () => {
    const { data, metadata } = named(of(objects, 'ConfigMap'), 'agentstate-grafana-dashboard');
    expect(metadata).toMatchObject({ namespace: 'agentstate', labels: { grafana_dashboard: '1' } });
    expect(Object.keys(data)).toHaveLength(readdirSync(join(root, 'monitoring/grafana/dashboards')).length);
  });

  test('a daemon starts with these settings and keeps its secrets in the volume', async () => {
    const work = mkdtempSync(join(tmpdir(), 'agentstate-'));
    const DATA_DIR = await cloneDataDir();
    execFileSync(join(root, 'scripts/make-cert.sh'), ['localhost'], { env: { ...process.env, SSL_DIR: work }, stdio: 'ignore' });
    mkdirSync(join(work, 'run/secrets/agent-memory'), { recursive: true });
    for (const [name, value] of Object.entries(of(objects, 'Secret')[0].stringData))
      writeFileSync(join(work, 'run/secrets/agent-memory', name), value as string);
    const placed = (value: string) => (value.startsWith('/') ? join(work, value) : value);
    const env = Object.fromEntries(Object.entries(settingsOf(objects)).map(([name, value]) => [name, placed(value)]));
    const certificate = { TLS_CERT_FILE: join(work, 'cert.pem'), TLS_KEY_FILE: join(work, 'key.pem') };
    // the defaults of the tests would replace what the pod generates
    const unset = { JWT_SECRET: '', ENCRYPTION_KEY: '', ERASURE_LEDGER: '', HOST: '127.0.0.1', LOG_LEVEL: 'info' };
    const daemon = await spawnDaemon({ ...env, DATA_DIR }, { ...certificate, ...unset, NODE_ENV: env.NODE_ENV! });
    await daemon.kill('SIGTERM');
    expect(daemon.child.exitCode).toBe(0);
    expect(daemon.logged()).toContain('generated the secrets');
    expect(readdirSync(DATA_DIR)).toEqual(expect.arrayContaining(['jwt-secret', 'encryption-key']));
    for (const dir of [DATA_DIR, work]) rmSync(dir, { recursive: true });
  }, 120_000);

  test('with JWT_SECRET it runs in production and does not start with the other placeholders', () => {
    const config = settingsOf(objectsOf('-f', values, '--set', 'secrets.JWT_SECRET=kQ0v1n4y8bq6fC2m9sT3xZ7wL5pR1dHj'));
    expect(config).toMatchObject({
      NODE_ENV: 'production',
      ENCRYPTION_KEY_FILE: expect.any(String),
      AUDIT_KEY_FILE: expect.any(String),
    });
    const key = Buffer.alloc(32, 'k').toString('base64');
    expect(() =>
      loadConfig({ NODE_ENV: 'production', JWT_SECRET: key, AUDIT_KEY: '<placeholder-of-32-bytes-or-more-here>' }),
    ).toThrow('AUDIT_KEY');
  });

  test('tls.secretName and the values of ingress have the meaning of the guide', () => {
    const given = objectsOf(
      '-f',
      values,
      '--set',
      'tls.certManager=false,tls.secretName=agentstate-tls,ingress.hostname=agentstate.example.com',
    );
    expect(of(given, 'Certificate')).toEqual([]);
    expect(named(of(given, 'StatefulSet')[0].spec.template.spec.volumes, 'tls').secret.secretName).toBe('agentstate-tls');
    for (const { spec } of of(given, 'Ingress')) {
      expect(spec.tls).toEqual([{ hosts: ['agentstate.example.com'], secretName: 'agentstate-tls' }]);
      expect(spec.rules[0].host).toBe('agentstate.example.com');
    }
    expect(of(objectsOf('-f', values, '--set', 'ingress.enabled=false'), 'Ingress')).toEqual([]);
    for (const { spec } of of(objectsOf('-f', values, '--set', 'ingress.tls=false'), 'Ingress')) expect(spec.tls).toBeUndefined();
  });

  test.each([
    [
      'a database server beside the volume',
      ['--set', 'persistence.enabled=true,env.PGHOST=db'],
      'persistence is the volume of the embedded database',
    ],
    ['TLS without a certificate', ['--set', 'tls.enabled=true'], 'tls.enabled needs tls.secretName or tls.certManager'],
  ])('%s is refused', (_, options, message) => {
    expect(render(...options)).toMatchObject({ status: 1, stderr: expect.stringContaining(message) });
  });
});

describeWith(['helm'], 'the chart with ADMIN_PORT', () => {
  test.each(['config', 'env'])('in %s: only Prometheus reaches that port, and it scrapes it', (group) => {
    const objects = objectsOf('--set', `${group}.ADMIN_PORT=9090,monitoring.enabled=true,monitoring.prometheus.scrape=true`);
    expect(settingsOf(objects)).toMatchObject({ ADMIN_PORT: '9090', ADMIN_HOST: '0.0.0.0' });
    const { template } = of(objects, 'Deployment')[0].spec;
    expect(template.spec.containers[0].ports).toEqual([
      { name: 'http', containerPort: 3000 },
      { name: 'admin', containerPort: 9090 },
    ]);
    expect(template.metadata.annotations['prometheus.io/port']).toBe('9090');
    expect(named(of(objects, 'Service')[0].spec.ports, 'admin')).toMatchObject({ port: 9090, targetPort: 'admin' });
    expect(of(objects, 'ServiceMonitor')[0].spec.endpoints).toMatchObject([{ port: 'admin', path: '/metrics' }]);
    const { ingress } = named(of(objects, 'NetworkPolicy'), 'agent-memory-daemon').spec;
    const namespaces = (port: string) =>
      ingress
        .filter(({ ports }: any) => ports.some((one: any) => one.port === port))
        .flatMap(({ from }: any) => from.map((one: any) => Object.values(one.namespaceSelector.matchLabels)[0]));
    expect([namespaces('http'), namespaces('admin')]).toEqual([['ingress-nginx'], ['monitoring']]);
  });
});
