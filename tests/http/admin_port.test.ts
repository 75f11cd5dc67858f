import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { get } from 'node:https';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';
import { describeWith } from '../support/tool.ts';

const root = join(import.meta.dirname, '../..');
const portOf = (url: string | undefined) => Number(new URL(url!).port);

/** Opens a connection and collects what the server sends until it closes the connection. */
function open(port: number, host: string): { socket: Socket; answer: Promise<string> } {
  const socket = connect(port, host);
  let text = '';
  socket.on('data', (part) => {
    text += part;
  });
  const answer = new Promise<string>((resolve, reject) => {
    socket.on('error', reject);
    socket.on('close', () => resolve(text));
  });
  return { socket, answer };
}

const isRefused = (port: number, host: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, host, () => {
      socket.destroy();
      resolve(false);
    });
    socket.on('error', () => resolve(true));
  });

describe('with ADMIN_PORT', () => {
  let daemon: TestDaemon;
  beforeAll(async () => {
    daemon = await startTestDaemon({ ADMIN_PORT: '0', HOST: '0.0.0.0' });
  });
  afterAll(() => daemon.stop());

  test('the metrics are served on that port, and the main port answers 404', async () => {
    for (const path of ['/metrics', '/metrics/json']) {
      expect((await send(daemon.adminUrl!, 'GET', path)).status).toBe(200);
      const response = await fetch(daemon.url + path);
      expect([response.status, await response.json()]).toEqual([
        404,
        expect.objectContaining({ detail: 'The path does not exist.' }),
      ]);
    }
    expect((await send<string>(daemon.adminUrl!, 'GET', '/metrics')).body).toContain('agent_memory_total_requests');
  });

  test('that port serves nothing else', async () => {
    for (const path of ['/health', '/ready', '/v1/events', '/auth/me', '/docs', '/openapi.json'])
      expect([path, (await fetch(daemon.adminUrl! + path, { redirect: 'manual' })).status]).toEqual([path, 404]);
    expect((await fetch(`${daemon.url}/ready`)).status).toBe(200);
  });

  test('it listens on the loopback interface, whatever HOST is', async () => {
    expect(await isRefused(portOf(daemon.url), '127.0.0.2')).toBe(false);
    expect(await isRefused(portOf(daemon.adminUrl), '127.0.0.2')).toBe(true);
  });

  test('headers are limited as on the main port', async () => {
    const answers = [daemon.url, daemon.adminUrl!].map((url) =>
      fetch(`${url}/ready`, { headers: { 'x-long': 'x'.repeat(20_000) } }),
    );
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([431, 431]);
  });
});

test('without ADMIN_PORT the main port serves the metrics', async () => {
  const daemon = await startTestDaemon();
  expect([daemon.adminUrl, (await send(daemon.url, 'GET', '/metrics')).status]).toEqual([undefined, 200]);
  await daemon.stop();
});

test('with ADMIN_HOST it listens there, and a shutdown waits for its running requests but not for silent connections', async () => {
  const daemon = await startTestDaemon({
    ADMIN_PORT: '0',
    ADMIN_HOST: '0.0.0.0',
    SHUTDOWN_DELAY_MS: '0',
    SHUTDOWN_TIMEOUT_MS: '600000',
  });
  const port = portOf(daemon.adminUrl);
  const silent = open(port, '127.0.0.2');
  silent.answer.catch(() => undefined);
  const { socket, answer } = open(port, '127.0.0.2');
  socket.write('GET /metrics HTTP/1.1\r\nHost: daemon\r\n');
  await once(socket, 'connect');
  expect((await fetch(`${daemon.adminUrl}/metrics`)).status).toBe(200);
  const stopped = daemon.stop();
  await eventually(() => isRefused(port, '127.0.0.2'), 'the port is closed');
  socket.write('\r\n');
  expect(await answer).toMatch(/^HTTP\/1\.1 200 OK\r\n.*Connection: close\r\n.*agent_memory_total_requests/s);
  // a silent connection would delay it by all of SHUTDOWN_TIMEOUT_MS, longer than the timeout of the test
  await stopped;
  silent.socket.destroy();
});

describeWith(['openssl'], 'with a certificate', () => {
  const dir = mkdtempSync(join(tmpdir(), 'admin-port-'));
  afterAll(() => rmSync(dir, { recursive: true }));

  test('both ports require TLS and the certificate of a client', async () => {
    cpSync(join(root, 'nginx/nginx.conf'), join(dir, 'nginx.conf'));
    execFileSync(join(root, 'scripts/make-mtls.sh'), { env: { ...process.env, NGINX_DIR: dir }, stdio: 'ignore' });
    const file = (name: string) => join(dir, 'mtls', name);
    const tls = { TLS_CERT_FILE: file('daemon.pem'), TLS_KEY_FILE: file('daemon.key'), TLS_CLIENT_CA_FILE: file('ca.pem') };
    const daemon = await startTestDaemon({ ADMIN_PORT: '0', ...tls });
    const read = (url: string, identity: object) =>
      new Promise<number | undefined>((resolve, reject) => {
        const request = get(
          url,
          { ca: readFileSync(file('ca.pem')), servername: 'memory-daemon', agent: false, ...identity },
          (response) => {
            response.resume().on('end', () => resolve(response.statusCode));
          },
        );
        request.on('error', reject);
      });
    const own = { cert: readFileSync(file('nginx.pem')), key: readFileSync(file('nginx.key')) };
    for (const url of [`${daemon.url}/ready`, `${daemon.adminUrl}/metrics`]) {
      expect(url).toMatch(/^https:/);
      expect(await read(url, own)).toBe(200);
      await expect(read(url, {})).rejects.toThrow();
      await expect(fetch(url.replace('https:', 'http:'))).rejects.toThrow();
    }
    await daemon.stop();
  });
});
