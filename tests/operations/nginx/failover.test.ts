import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type SpawnedDaemon, spawnDaemon } from '../../support/daemon.ts';
import { describeWith } from '../../support/tool.ts';
import { type Asking, ask, type Edge, reload, servedBy, startEdge, until } from './edge.ts';
import { type Load, startLoad } from './load.ts';

const root = join(import.meta.dirname, '../../..');
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Kinds of request with what became of them; all that is not their success is a failure. */
const failuresOf = ({ counts }: Load) =>
  Object.entries(counts).filter(([what]) => !/^((read|search|context) 200|(keyed|plain) 201)$/.test(what));

const again = (edge: Edge, { url }: SpawnedDaemon) => spawnDaemon(edge.env, { ...edge.env, PORT: new URL(url).port });

/** The log holds each acknowledged event once. */
async function assertKept(edge: Edge, load: Load): Promise<void> {
  const kept = new Map<string, number>();
  for (let after = 0; ; ) {
    const { text } = await ask(edge, `/v1/events?limit=500&order=asc&after=${after}`, {
      headers: { authorization: `Bearer ${load.token}` },
    });
    const { data } = JSON.parse(text) as { data: { seq: number; event_id: string; content: { text: string } }[] };
    if (data.length === 0) break;
    for (const event of data) kept.set(event.content.text, (kept.get(event.content.text) ?? 0) + 1);
    after = data.at(-1)!.seq;
  }
  const wanted = [...load.recorded.values()];
  expect(wanted.length).toBeGreaterThan(10);
  expect(wanted.filter((text) => kept.get(text) !== 1)).toEqual([]);
}

describeWith(['nginx', 'openssl'], 'nginx: reloads and lost daemons', () => {
  let edge: Edge;
  beforeAll(async () => {
    edge = await startEdge();
  }, 120_000);
  afterAll(() => edge?.stop());

  test('reloads under load fail no request', async () => {
    const load = await startLoad(edge, { plain: true });
    for (let i = 0; i < 5; i += 1) {
      await sleep(700);
      reload(edge);
    }
    await sleep(700);
    await load.stop();
    expect(failuresOf(load)).toEqual([]);
    await assertKept(edge, load);
  });

  test('with no daemon nginx answers 503, at once and with Retry-After', async () => {
    await Promise.all(edge.daemons.map((daemon) => daemon.kill('SIGKILL')));
    const askings: Asking[] = [
      {},
      { headers: { accept: 'text/event-stream' } },
      { method: 'POST', body: '{}' },
      { method: 'POST', headers: { 'idempotency-key': 'k' }, body: '{}' },
    ];
    for (const asking of askings) {
      const { status, headers, text } = await ask(edge, '/v1/events', { ...asking, timeout_ms: 5000 });
      expect([status, headers['retry-after'], JSON.parse(text).type]).toEqual([503, '1', '/docs/problems#unavailable']);
    }
  });
});

describeWith(['nginx', 'openssl', 'curl'], 'nginx/reload-on-change.sh', () => {
  let edge: Edge;
  beforeAll(async () => {
    edge = await startEdge({ watch: true, settings: { SHUTDOWN_DELAY_MS: '5000' } });
  }, 120_000);
  afterAll(() => edge?.stop());

  const list = () => readFileSync(join(edge.dir, 'agent-memory-servers.conf'), 'utf8');
  const hosts = () => list().match(/[\d.]+:\d+/g) ?? [];
  const host = (i: number) => new URL(edge.daemons[i]!.url).host;

  test('nginx starts without a daemon, and finds those that are ready', async () => {
    await until(() => hosts().length === 2, 'both are in the list');
    expect(list()).toContain(`server ${host(0)} max_fails=2 fail_timeout=2s;`);
  });

  test('each daemon in turn is stopped and started under load, and no request fails, whether it may be repeated or not', async () => {
    const load = await startLoad(edge, { plain: true });
    for (const i of [0, 1]) {
      const stopped = edge.daemons[i]!;
      await stopped.kill('SIGTERM');
      expect(stopped.child.exitCode).toBe(0);
      expect(hosts()).toEqual([host(1 - i)]);
      edge.daemons[i] = await again(edge, stopped);
      await until(() => hosts().length === 2, 'it is in the list again');
    }
    await load.stop();
    expect(failuresOf(load)).toEqual([]);
    await assertKept(edge, load);
  }, 120_000);

  test('a daemon that is killed under load costs no request that may be repeated, and comes back', async () => {
    const load = await startLoad(edge);
    await sleep(1000);
    await edge.daemons[0]!.kill('SIGKILL');
    await sleep(3000);
    edge.daemons[0] = await again(edge, edge.daemons[0]!);
    const { host } = new URL(edge.daemons[0].url);
    const before = edge.log().length;
    await until(
      () =>
        edge
          .log()
          .slice(before)
          .some(({ upstream, status }) => upstream === host && status === 200),
      'it is asked again',
    );
    await load.stop();
    expect(failuresOf(load)).toEqual([]);
    await assertKept(edge, load);
  });

  test('a daemon that hangs is left out, and a list that would be empty stays', async () => {
    for (const { child } of edge.daemons) child.kill('SIGSTOP');
    await sleep(8000);
    expect(hosts().length).toBeGreaterThan(0);
    edge.daemons[0]!.child.kill('SIGCONT');
    await until(() => hosts().join() === host(0), 'the one that answers is alone');
    expect((await ask(edge, '/ready')).status).toBe(200);
    edge.daemons[1]!.child.kill('SIGCONT');
    await until(() => hosts().length === 2, 'both are in the list again');
  }, 90_000);

  test('a renewed certificate is served without a failed request', async () => {
    const lineage = join(edge.dir, 'live');
    execFileSync(join(root, 'scripts/make-cert.sh'), ['127.0.0.1'], { env: { ...process.env, SSL_DIR: lineage } });
    for (const [from, to] of [
      ['key', 'privkey'],
      ['cert', 'fullchain'],
    ])
      execFileSync('mv', [join(lineage, `${from}.pem`), join(lineage, `${to}.pem`)]);
    const renewed = readFileSync(join(lineage, 'fullchain.pem'), 'utf8');
    const old = edge.ca;
    const load = await startLoad(Object.assign(edge, { ca: `${old}${renewed}` }), { plain: true });
    await sleep(500);
    execFileSync(join(root, 'nginx/deploy-hook.sh'), {
      env: { ...process.env, RENEWED_LINEAGE: lineage, SSL_DIR: join(edge.dir, 'ssl') },
    });
    const { serialNumber } = new X509Certificate(renewed);
    expect(new X509Certificate(old).serialNumber).not.toBe(serialNumber);
    await until(async () => (await servedBy(edge)).serialNumber === serialNumber, 'the new one is served');
    await sleep(500);
    await load.stop();
    expect(failuresOf(load)).toEqual([]);
  });

  test('a certificate without its key is refused, and the old one still served', async () => {
    const before = (await servedBy(edge)).serialNumber;
    const broken = join(edge.dir, 'ssl/cert.pem');
    const good = readFileSync(broken, 'utf8');
    execFileSync(join(root, 'scripts/make-cert.sh'), ['127.0.0.1'], {
      env: { ...process.env, SSL_DIR: join(edge.dir, 'other') },
    });
    execFileSync('cp', [join(edge.dir, 'other/cert.pem'), broken]);
    await sleep(3000);
    expect((await servedBy(edge)).serialNumber).toBe(before);
    execFileSync('sh', ['-c', 'printf %s "$1" > "$2"', 'sh', good, broken]);
    expect((await ask(edge, '/ready')).status).toBe(200);
  });
});
