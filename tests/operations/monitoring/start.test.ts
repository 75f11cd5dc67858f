import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';

// The start scripts of Grafana, Alertmanager and Prometheus, with the programs replaced by one that prints its arguments.

const monitoring = join(import.meta.dirname, '../../../monitoring');
const dir = mkdtempSync(join(tmpdir(), 'start-'));
afterAll(() => rmSync(dir, { recursive: true }));
const start = (script: string, env: Record<string, string>, ...program: string[]) =>
  spawnSync(join(monitoring, script), program, { encoding: 'utf8', env: { PATH: process.env.PATH, ...env } });

describe('grafana/start.sh', () => {
  const password = () =>
    start('grafana/start.sh', { GF_PATHS_DATA: dir }, 'sh', '-c', 'echo "$GF_SECURITY_ADMIN_PASSWORD"').stdout.trim();

  test('generates an admin password that stays the same across starts and that only Grafana can read', () => {
    const first = password();
    expect(first).toMatch(/^[\w+/]{32}$/);
    expect(password()).toBe(first);
    expect((statSync(join(dir, 'admin-password')).mode & 0o777).toString(8)).toBe('600');
    rmSync(join(dir, 'admin-password'));
    expect(password()).not.toBe(first);
  });

  test('the compose file sets no other password', () => {
    const compose = parse(readFileSync(join(monitoring, '../docker-compose.prod.yml'), 'utf8'), { merge: true });
    expect(compose.services.grafana.entrypoint).toEqual(['sh', '/etc/grafana/start.sh', '/run.sh']);
    expect(Object.keys(compose.services.grafana.environment)).not.toContain('GF_SECURITY_ADMIN_PASSWORD');
  });
});

describe('alertmanager.sh', () => {
  const config = join(dir, 'alertmanager.yml');
  const alertmanager = (url: string) => start('alertmanager.sh', { ALERT_WEBHOOK_URL: url, ALERTMANAGER_CONFIG: config }, 'echo');

  test('writes a configuration with one receiver', () => {
    const url = 'https://hooks.example.com/services/T0/B1?token=a%20b&channel=#ops';
    expect(alertmanager(url)).toMatchObject({ status: 0, stdout: `--config.file=${config}\n`, stderr: '' });
    expect(parse(readFileSync(config, 'utf8')).receivers).toEqual([
      { name: 'webhook', webhook_configs: [{ url, send_resolved: true }] },
    ]);
  });

  test('without the setting it starts, and reports that alerts are not sent', () => {
    expect(alertmanager('')).toMatchObject({ status: 0, stderr: expect.stringContaining('sent to nobody') });
    expect(parse(readFileSync(config, 'utf8')).receivers).toEqual([{ name: 'webhook' }]);
  });

  test.each(['hooks.example.com', 'file:///etc/passwd', "https://a'\n  - name: b", 'https://a b'])('refuses %j', (url) => {
    expect(alertmanager(url)).toMatchObject({ status: 1, stderr: expect.stringMatching(/^ALERT_WEBHOOK_URL: expected/) });
  });
});

describe('prometheus.sh', () => {
  const config = join(dir, 'prometheus.yml');
  const shipped = parse(readFileSync(join(monitoring, 'prometheus.yml'), 'utf8'));
  const prometheus = (port: string) => start('prometheus.sh', { ADMIN_PORT: port, PROMETHEUS_CONFIG: config }, 'echo');

  test.each([
    ['', 3000],
    ['9091', 9091],
  ])('with ADMIN_PORT=%s it scrapes port %i of the daemons, with everything else as shipped', (given, port) => {
    expect(prometheus(given)).toMatchObject({ status: 0, stdout: `--config.file=${config}\n`, stderr: '' });
    const wanted = structuredClone(shipped);
    wanted.scrape_configs[0].static_configs = [{ targets: [`memory-daemon:${port}`, `memory-daemon-2:${port}`] }];
    wanted.rule_files = [`${monitoring}/rules/*.yml`];
    expect(parse(readFileSync(config, 'utf8'))).toEqual(wanted);
  });

  test('refuses a port that is not a number', () => {
    expect(prometheus('9091|s')).toMatchObject({ status: 1, stderr: 'ADMIN_PORT: expected a number\n' });
  });
});
