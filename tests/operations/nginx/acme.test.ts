import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../../support/daemon.ts';
import { describeWith, findTool } from '../../support/tool.ts';
import { type Edge, servedBy, startEdge, until } from './edge.ts';

// Follows docs/tls.md, with pebble (the test server of Let's Encrypt) as the certificate authority.

const hook = join(import.meta.dirname, '../../../nginx/deploy-hook.sh');
const DOMAIN = 'memory-api.example.com';

describeWith(['nginx', 'openssl', 'curl', 'certbot', 'pebble', 'pebble-challtestsrv'], 'a certificate by ACME', () => {
  let edge: Edge;
  const servers: ChildProcess[] = [];
  beforeAll(async () => {
    edge = await startEdge({ daemons: 1, watch: true });
  }, 120_000);
  afterAll(async () => {
    for (const server of servers) {
      server.kill('SIGKILL');
      if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
    }
    await edge?.stop();
  });

  /** Starts the authority, which resolves the domain to this machine and finds its challenges on nginx's port 80. Returns the URL of its directory. */
  async function startAuthority(): Promise<string> {
    const [dns, acme, management, unused] = [await freePort(), await freePort(), await freePort(), await freePort()];
    const config = {
      listenAddress: `127.0.0.1:${acme}`,
      managementListenAddress: `127.0.0.1:${management}`,
      certificate: join(edge.dir, 'ssl-of-authority/cert.pem'),
      privateKey: join(edge.dir, 'ssl-of-authority/key.pem'),
      httpPort: Number(new URL(edge.http).port),
      tlsPort: Number(new URL(edge.https).port),
    };
    writeFileSync(join(edge.dir, 'pebble.json'), JSON.stringify({ pebble: config }));
    mkdirSync(join(edge.dir, 'ssl-of-authority'));
    for (const name of ['cert.pem', 'key.pem'])
      await promisify(execFile)('cp', [join(edge.dir, 'ssl', name), join(edge.dir, 'ssl-of-authority', name)]);
    const off = ['-http01', '', '-https01', '', '-tlsalpn01', '', '-doh', '', '-management', `127.0.0.1:${unused}`];
    const resolver = ['-dnsserver', `127.0.0.1:${dns}`, '-config', join(edge.dir, 'pebble.json')];
    const names = ['-dnsserver', `127.0.0.1:${dns}`, '-defaultIPv4', '127.0.0.1', '-defaultIPv6', '', ...off];
    const env = { ...process.env, PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '0' };
    servers.push(spawn(findTool('pebble-challtestsrv')!, names, { stdio: 'ignore' }));
    servers.push(spawn(findTool('pebble')!, resolver, { env, stdio: 'ignore' }));
    return `https://127.0.0.1:${acme}/dir`;
  }

  const certbot = (...args: string[]) => {
    const dirs = ['config', 'work', 'logs'].flatMap((kind) => [`--${kind}-dir`, join(edge.dir, `certbot-${kind}`)]);
    const env = {
      ...process.env,
      REQUESTS_CA_BUNDLE: join(edge.dir, 'ssl-of-authority/cert.pem'),
      SSL_DIR: join(edge.dir, 'ssl'),
    };
    return promisify(execFile)(findTool('certbot')!, [...args, '--non-interactive', ...dirs], { env });
  };

  test('a certificate is obtained while nginx serves, is served, and is renewed', async () => {
    const directory = await startAuthority();
    const own = await servedBy(edge);
    const asked = ['-d', DOMAIN, '--email', 'admin@example.com', '--agree-tos', '--server', directory];
    await certbot('certonly', '--webroot', '-w', join(edge.dir, 'acme'), ...asked, '--deploy-hook', hook);
    await until(async () => (await servedBy(edge)).serialNumber !== own.serialNumber, 'the first one is served');
    const first = await servedBy(edge);
    expect([first.checkHost(DOMAIN), first.issuer]).toEqual([DOMAIN, expect.stringContaining('Pebble')]);

    await certbot('renew', '--force-renewal', '--no-random-sleep-on-renew');
    await until(async () => (await servedBy(edge)).serialNumber !== first.serialNumber, 'the second one is served');
    expect((await servedBy(edge)).checkHost(DOMAIN)).toBe(DOMAIN);
  }, 120_000);
});
