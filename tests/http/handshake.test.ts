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

  test('a connection without a TLS handshake is closed after the timeout and does not delay the shutdown', async () => {
    execFileSync(makeCert, ['localhost'], { env: { ...process.env, SSL_DIR: dir }, stdio: 'ignore' });
    const pem = (name: string) => readFileSync(join(dir, `${name}.pem`));
    const server = createHttpServer(() => undefined, { cert: pem('cert'), key: pem('key') });
    await listen(server, { port: 0, host: '127.0.0.1', setting: 'PORT' });
    const silent = connect(Number(new URL(urlOf(server)).port), '127.0.0.1');
    silent.on('error', () => undefined);
    await Promise.all([once(silent, 'connect'), once(server, 'connection')]);
    // a delayed shutdown would take longer than the timeout of the test
    await drain(server, 0, 600_000);
    silent.destroy();
  });
});
