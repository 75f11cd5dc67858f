import { execFileSync, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeWith, toolOf } from '../../support/tool.ts';
import { type Edge, startEdge } from './edge.ts';

const makeCert = join(import.meta.dirname, '../../../scripts/make-cert.sh');

describeWith(['nginx', 'openssl', 'testssl'], 'nginx: TLS', () => {
  let edge: Edge;
  beforeAll(async () => {
    edge = await startEdge({ daemons: 1 });
  }, 120_000);
  afterAll(() => edge?.stop());

  test('testssl finds nothing below TLS 1.2, no weak cipher and no known vulnerability', () => {
    const file = join(edge.dir, 'testssl.json');
    const checks = [
      '--protocols',
      '--std',
      '--fs',
      '--hsts',
      '--heartbleed',
      '--renegotiation',
      '--crime',
      '--ccs-injection',
      '--robot',
    ];
    const quiet = ['--quiet', '--color', '0', '--warnings', 'off', '--nodns', 'none'];
    const { error } = spawnSync(toolOf('testssl')!, [...quiet, ...checks, '--jsonfile', file, new URL(edge.https).host], {
      timeout: 280_000,
    });
    expect(error).toBeUndefined();
    const findings = JSON.parse(readFileSync(file, 'utf8')) as { id: string; severity: string; finding: string }[];
    const found = Object.fromEntries(findings.map(({ id, finding }) => [id, finding]));

    const offered = ['SSLv2', 'SSLv3', 'TLS1', 'TLS1_1', 'TLS1_2', 'TLS1_3'].map((id) => [
      id,
      !/^not offered/.test(found[id] ?? '?'),
    ]);
    expect(offered).toEqual([
      ['SSLv2', false],
      ['SSLv3', false],
      ['TLS1', false],
      ['TLS1_1', false],
      ['TLS1_2', true],
      ['TLS1_3', true],
    ]);
    const weak = findings.filter(({ id }) => id.startsWith('cipherlist_') && !/STRONG/.test(id));
    expect(weak.length).toBeGreaterThanOrEqual(6);
    expect(weak.filter(({ finding }) => !/^not offered/.test(finding))).toEqual([]);
    expect(found.FS ?? found.PFS).toMatch(/^offered/);
    expect(Number(/\d+/.exec(found.HSTS_time ?? '')?.[0])).toBeGreaterThan(0);
    expect(findings.filter(({ severity }) => !['OK', 'INFO', 'WARN'].includes(severity))).toEqual([]);
    expect(['heartbleed', 'CCS', 'ROBOT', 'secure_client_renego', 'CRIME_TLS'].map((id) => [id, found[id]])).toEqual(
      ['heartbleed', 'CCS', 'ROBOT', 'secure_client_renego', 'CRIME_TLS'].map((id) => [
        id,
        expect.stringContaining('not vulnerable'),
      ]),
    );
  });
});

describeWith(['openssl'], 'scripts/make-cert.sh', () => {
  const dir = mkdtempSync(join(tmpdir(), 'cert-'));
  afterAll(() => rmSync(dir, { recursive: true }));
  const make = (...args: string[]) => spawnSync(makeCert, args, { env: { ...process.env, SSL_DIR: dir }, encoding: 'utf8' });
  const certificate = () => new X509Certificate(readFileSync(join(dir, 'cert.pem')));

  test('makes a key that only its owner reads and a certificate for the name, once', () => {
    expect(make('memory.test').status).toBe(0);
    expect(readdirSync(dir).sort()).toEqual(['cert.pem', 'key.pem']);
    expect(['key.pem', 'cert.pem'].map((name) => (statSync(join(dir, name)).mode & 0o777).toString(8))).toEqual(['600', '644']);
    expect([
      certificate().checkHost('memory.test'),
      certificate().checkHost('localhost'),
      certificate().checkIP('127.0.0.1'),
    ]).toEqual(['memory.test', 'localhost', '127.0.0.1']);
    expect(certificate().checkHost('another.test')).toBeUndefined();
    const modulus = (kind: string, name: string) =>
      execFileSync('openssl', [kind, '-in', join(dir, name), '-noout', '-modulus'], { encoding: 'utf8' });
    expect(modulus('x509', 'cert.pem')).toBe(modulus('rsa', 'key.pem'));

    const { serialNumber } = certificate();
    const again = make('other.test');
    expect([again.status, again.stderr]).toEqual([1, expect.stringContaining('--force')]);
    expect(certificate().serialNumber).toBe(serialNumber);
    expect(make('--force', 'other.test').status).toBe(0);
    expect(certificate().checkHost('other.test')).toBe('other.test');
  });

  test('takes an address, and refuses what is no name', () => {
    expect(make('--force', '10.1.2.3').status).toBe(0);
    expect(certificate().checkIP('10.1.2.3')).toBe('10.1.2.3');
    const refused = make('--force', 'a/CN=b');
    expect([refused.status, refused.stderr]).toEqual([1, expect.stringContaining('neither a host name nor an address')]);
  });
});
