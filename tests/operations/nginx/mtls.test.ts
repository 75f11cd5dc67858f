import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../../src/config.ts';
import { tlsOf } from '../../../src/http/tls.ts';
import { describeWith } from '../../support/tool.ts';
import { type Edge, requestEdge, startEdge, until } from './edge.ts';

// nginx and daemons that verify each other's certificates, as scripts/make-mtls.sh sets them up.

describeWith(['nginx', 'openssl', 'curl'], 'mutual TLS between nginx and the daemons', () => {
  let edge: Edge;
  let stranger: string;
  const file = (name: string) => readFileSync(join(edge.dir, 'mtls', name));
  beforeAll(async () => {
    edge = await startEdge({ watch: true, mtls: true });
    stranger = mkdtempSync(join(tmpdir(), 'stranger-'));
    const env = { ...process.env, NGINX_DIR: stranger };
    writeFileSync(join(stranger, 'nginx.conf'), '');
    execFileSync(join(import.meta.dirname, '../../../scripts/make-mtls.sh'), { env });
  }, 120_000);
  afterAll(async () => {
    await edge?.stop();
    rmSync(stranger, { recursive: true });
  });

  /** Sends a request to a daemon without nginx. Returns its status or error. */
  const direct = (shown: { cert?: Buffer; key?: Buffer }) =>
    new Promise<number | string>((resolve) => {
      const options = { ca: file('ca.pem'), servername: 'memory-daemon', agent: false, ...shown };
      get(`${edge.daemons[0]!.url}/ready`, options, (res) => resolve(res.resume().statusCode!)).on(
        'error',
        (error: NodeJS.ErrnoException) => resolve(error.code!),
      );
    });

  test('requests, writes and large bodies pass', async () => {
    const body = JSON.stringify({ tenant_id: 'mtls', username: 'alice', password: 'a-long-passphrase' });
    const json = { 'content-type': 'application/json' };
    const registered = await requestEdge(edge, '/auth/register', { method: 'POST', headers: json, body });
    expect(registered.status).toBe(201);
    const headers = { ...json, authorization: `Bearer ${JSON.parse(registered.text).access_token}` };
    const large = JSON.stringify({ text: 'blocks of 64 KiB '.repeat(20_000) });
    for (const one of [JSON.stringify({ text: 'hello' }), large])
      expect((await requestEdge(edge, '/v1/events', { method: 'POST', headers, body: one })).status).toBe(201);
    const found = await requestEdge(edge, '/v1/search', { method: 'POST', headers, body: JSON.stringify({ query: 'hello' }) });
    expect([found.status, found.text]).toEqual([200, expect.stringContaining('hello')]);
  });

  test('a daemon accepts only clients with a certificate of the authority', async () => {
    expect(await direct({ cert: file('nginx.pem'), key: file('nginx.key') })).toBe(200);
    expect(await direct({})).toMatch(/^(ERR_SSL_|ECONNRESET|EPIPE)/);
    const others = (name: string) => readFileSync(join(stranger, 'mtls', name));
    expect(await direct({ cert: others('nginx.pem'), key: others('nginx.key') })).toMatch(/^(ERR_SSL_|ECONNRESET|EPIPE)/);
    await expect(fetch(`${edge.daemons[0]!.url.replace('https', 'http')}/ready`)).rejects.toThrow();
  });

  test('nginx forwards nothing to a daemon with a certificate of another authority', async () => {
    const status = async () => (await requestEdge(edge, '/ready')).status;
    writeFileSync(join(edge.dir, 'mtls/ca.pem'), readFileSync(join(stranger, 'mtls/ca.pem')));
    await until(async () => (await status()) === 503, 'nginx refuses the daemons');
  });
});

describeWith(['openssl'], 'the settings', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tls-'));
  afterAll(() => rmSync(dir, { recursive: true }));
  const name = (file: string) => join(dir, 'mtls', file);
  beforeAll(() => {
    writeFileSync(join(dir, 'nginx.conf'), 'proxy_pass http://memory;\n');
    execFileSync(join(import.meta.dirname, '../../../scripts/make-mtls.sh'), { env: { ...process.env, NGINX_DIR: dir } });
  });

  test.each([
    ['a certificate without its key', { TLS_CERT_FILE: 'daemon.pem' }, /TLS_KEY_FILE: got nothing/],
    ['an authority alone', { TLS_CLIENT_CA_FILE: 'ca.pem' }, /TLS_CERT_FILE: got nothing/],
    ['a file that is not there', { TLS_CERT_FILE: 'none.pem', TLS_KEY_FILE: 'daemon.key' }, /TLS_CERT_FILE: got .*ENOENT/],
    ['the key of another', { TLS_CERT_FILE: 'daemon.pem', TLS_KEY_FILE: 'nginx.key' }, /expected certificates in PEM/],
  ] as const)('%s is rejected at startup', (_, settings, message) => {
    const env = Object.fromEntries(Object.entries(settings).map(([key, file]) => [key, name(file)]));
    expect(() => tlsOf(loadConfig(env))).toThrow(message);
  });

  test('nginx.conf forwards requests by https, and the key of the authority is not kept', () => {
    expect(readFileSync(join(dir, 'nginx.conf'), 'utf8')).toBe('proxy_pass https://memory;\n');
    const files = execFileSync('ls', [join(dir, 'mtls')], { encoding: 'utf8' });
    expect(files.trim().split('\n')).toEqual(['ca.pem', 'daemon.key', 'daemon.pem', 'nginx.key', 'nginx.pem', 'proxy.conf']);
  });
});
