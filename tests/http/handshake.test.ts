import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHttpServer, drain, listen, urlOf } from '../../src/http/server.ts';
import { describeWith } from '../support/tool.ts';

const makeCert = join(import.meta.dirname, '../../scripts/make-cert.sh');

describeWith(['openssl'], 'the TLS port', () => {
  const dir = mkdtempSync(join(tmpdir(), 'handshake-'));
  afterAll(() => rmSync(dir, { recursive: true }));

  test('a connection whose handshake fails is closed, and does not hold up the end', async () => {
    execFileSync(makeCert, ['localhost'], { env: { ...process.env, SSL_DIR: dir }, stdio: 'ignore' });
    const pem = (name: string) => readFileSync(join(dir, `${name}.pem`));
    const server = createHttpServer(() => undefined, { cert: pem('cert'), key: pem('key') });
    await listen(server, 0, '127.0.0.1');
    // its own end stays open
    const plain = connect({ port: Number(new URL(urlOf(server)).port), host: '127.0.0.1', allowHalfOpen: true });
    plain.on('error', () => undefined).resume();
    await once(plain, 'connect');
    plain.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await drain(server, 0, 600_000);
    plain.destroy();
  });
});
