import { execFileSync, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect } from 'node:tls';
import { describeWith, findTool } from '../../support/tool.ts';
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
    const checks = ['--protocols', '--std', '--heartbleed', '--ccs-injection', '--renegotiation', '--crime'];
    const quiet = ['--quiet', '--color', '0', '--warnings', 'off', '--nodns', 'none'];
    const { error } = spawnSync(findTool('testssl')!, [...quiet, ...checks, '--jsonfile', file, new URL(edge.https).host], {
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
    expect(findings.filter(({ severity }) => !['OK', 'INFO', 'WARN'].includes(severity))).toEqual([]);
    for (const id of ['heartbleed', 'CCS', 'secure_client_renego', 'CRIME_TLS'])
      expect([id, found[id]]).toEqual([id, expect.stringContaining('not vulnerable')]);
  });

  test.each([
    ['without forward secrecy', { maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256:AES256-SHA' }, undefined],
    ['with CBC', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA' }, undefined],
    ['of TLS 1.2', { maxVersion: 'TLSv1.2' }, /^TLSv1\.2 ECDHE-RSA-(AES\d+-GCM|CHACHA20)/],
    ['of TLS 1.3', {}, /^TLSv1\.3 TLS_/],
  ] as [string, ConnectionOptions, RegExp | undefined][])('a client with ciphers %s', async (_, options, agreed) => {
    const shaken = new Promise<string>((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port: Number(new URL(edge.https).port), ca: edge.ca, ...options });
      socket.once('error', reject).once('secureConnect', () => {
        resolve(`${socket.getProtocol()} ${socket.getCipher().name}`);
        socket.destroy();
      });
    });
    if (agreed) expect(await shaken).toMatch(agreed);
    else await expect(shaken).rejects.toThrow(/handshake failure/);
  });
});

describeWith(['openssl'], 'scripts/make-cert.sh', () => {
  const dir = mkdtempSync(join(tmpdir(), 'cert-'));
  afterAll(() => rmSync(dir, { recursive: true }));
  const make = (...args: string[]) => spawnSync(makeCert, args, { env: { ...process.env, SSL_DIR: dir }, encoding: 'utf8' });
  const certificate = () => new X509Certificate(readFileSync(join(dir, 'cert.pem')));

  test('creates a key that only its owner can read, and a certificate for the name, and does not overwrite them', () => {
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

  test('accepts an address, and rejects an invalid name', () => {
    expect(make('--force', '10.1.2.3').status).toBe(0);
    expect(certificate().checkIP('10.1.2.3')).toBe('10.1.2.3');
    const refused = make('--force', 'a/CN=b');
    expect([refused.status, refused.stderr]).toEqual([1, expect.stringContaining('neither a host name nor an address')]);
  });
});
