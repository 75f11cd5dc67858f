import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { newTenant } from '../../support/client.ts';
import { type SpawnedDaemon, spawnDaemon } from '../../support/daemon.ts';
import { describeWith } from '../../support/tool.ts';
import { type Asking, type Edge, keptConnections, reload, requestEdge, servedBy, startEdge, until } from './edge.ts';
import { eventOf, type Load, startLoad } from './load.ts';

const root = join(import.meta.dirname, '../../..');
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Outcomes by kind of request. Everything except the expected success is a failure. */
const failuresOf = ({ counts }: Load) =>
  Object.entries(counts).filter(([what]) => !/^((read|search|context) 200|(keyed|plain) 201)$/.test(what));

const again = (edge: Edge, { url }: SpawnedDaemon) => spawnDaemon(edge.env, { ...edge.env, PORT: new URL(url).port });

/** The log contains each acknowledged event once. */
async function assertKept(edge: Edge, load: Load): Promise<void> {
  const kept = new Map<string, number>();
  for (let after = 0; ; ) {
    const { text } = await requestEdge(edge, `/v1/events?limit=500&order=asc&after=${after}`, {
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

describeWith(['nginx', 'openssl'], 'nginx: reloads and failover', () => {
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
      const { status, headers, text } = await requestEdge(edge, '/v1/events', { ...asking, timeout_ms: 5000 });
      expect([status, headers['retry-after'], JSON.parse(text).type]).toEqual([503, '1', '/docs/problems#unavailable']);
    }
  });
});

const list = (edge: Edge) => readFileSync(join(edge.dir, 'agent-memory-servers.conf'), 'utf8');
const hostsOf = (edge: Edge) => list(edge).match(/[\d.]+:\d+/g) ?? [];
const hostOf = (edge: Edge, i: number) => new URL(edge.daemons[i]!.url).host;

/** Stops and restarts each daemon in turn under load. .ci/long does more rounds. */
async function restartInTurn(edge: Edge, restarts = 2, requests = 0): Promise<Load> {
  const load = await startLoad(edge, { plain: true });
  for (let n = 0; n < restarts; n += 1) {
    const i = n % 2;
    const stopped = edge.daemons[i]!;
    await stopped.kill('SIGTERM');
    expect(stopped.child.exitCode).toBe(0);
    expect(hostsOf(edge)).toEqual([hostOf(edge, 1 - i)]);
    edge.daemons[i] = await again(edge, stopped);
    await until(() => hostsOf(edge).length === 2, 'it is in the list again');
  }
  const answered = () => Object.values(load.counts).reduce((sum, n) => sum + n, 0);
  await until(() => answered() >= requests, `${requests} requests`, 1_500_000);
  await load.stop();
  return load;
}

describeWith(
  ['nginx', 'openssl', 'curl'],
  'nginx/reload-on-change.sh, with an nginx before 1.27.4 and a connection a request',
  () => {
    let edge: Edge;
    beforeAll(async () => {
      edge = await startEdge({ watch: true, settings: { SHUTDOWN_DELAY_MS: '5000' } });
    }, 120_000);
    afterAll(() => edge?.stop());

    test('stopping and restarting each daemon in turn under load fails no request, repeatable or not', async () => {
      const load = await restartInTurn(edge);
      expect(failuresOf(load)).toEqual([]);
      await assertKept(edge, load);
    }, 120_000);
  },
);

describeWith(['nginx-mainline', 'openssl', 'curl'], 'nginx/reload-on-change.sh, with kept connections', () => {
  let edge: Edge;
  beforeAll(async () => {
    edge = await startEdge({ watch: true, program: 'nginx-mainline', settings: { SHUTDOWN_DELAY_MS: '5000' } });
  }, 120_000);
  afterAll(() => edge?.stop());

  const hosts = () => hostsOf(edge);
  const host = (i: number) => hostOf(edge, i);

  test('nginx starts without a daemon, and uses daemons as they become ready', async () => {
    await until(() => hosts().length === 2, 'both are in the list');
    expect(list(edge)).toContain(`server ${host(0)} max_fails=0;`);
  });

  test('stopping and restarting each daemon in turn under load fails no request, repeatable or not', async () => {
    const { RESTARTS = '2', REQUESTS = '0' } = process.env;
    const load = await restartInTurn(edge, Number(RESTARTS), Number(REQUESTS));
    expect(failuresOf(load)).toEqual([]);
    await assertKept(edge, load);
  }, 1_800_000);

  test('a reload keeps an idle connection open, and its next request uses the new list of daemons', async () => {
    const agent = keptConnections();
    const { token } = await newTenant(edge.operator);
    const asking = { headers: { authorization: `Bearer ${token}` }, agent };
    const idle = () => Object.values(agent.freeSockets).flat().length;
    // A worker of an earlier reload closes its connections with the response.
    await until(async () => {
      await Promise.all(Array.from({ length: 12 }, () => requestEdge(edge, '/v1/events', asking)));
      await sleep(100);
      return idle() === 12;
    }, 'all are idle');
    const stopped = edge.daemons[0]!;
    stopped.child.kill('SIGSTOP');
    try {
      await until(() => hosts().join() === host(1), 'the one that answers is alone');
      await until(() => readdirSync(join(edge.dir, 'agent-memory-replaced')).length >= 4, 'the workers are marked');
      await sleep(500);
      expect(idle()).toBe(12);
      const { headers } = asking;
      const body = JSON.stringify(eventOf('s1', 'kept'));
      const posts = Array.from({ length: 12 }, () =>
        requestEdge(edge, '/v1/events', {
          method: 'POST',
          headers: { ...headers, 'content-type': 'application/json' },
          body,
          agent,
        }),
      );
      expect((await Promise.all(posts)).map(({ status }) => status)).toEqual(Array(12).fill(201));
    } finally {
      stopped.child.kill('SIGCONT');
      agent.destroy();
    }
    await until(() => hosts().length === 2, 'both are in the list again');
  }, 60_000);

  test('requests that a hanging daemon has accepted are retried on the other; a write without a key returns 504 and is not repeated', async () => {
    const { token } = await newTenant(edge.operator);
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const askings: Record<string, [string, Asking]> = {
      read: ['/v1/events', { headers }],
      search: ['/v1/search', { method: 'POST', headers, body: '{"query":"x"}' }],
    };
    for (let n = 0; n < 4; n += 1) {
      const write = { method: 'POST', body: JSON.stringify(eventOf('s1', `write ${n}`)) };
      askings[`keyed ${n}`] = ['/v1/events', { ...write, headers: { ...headers, 'idempotency-key': `k${n}` } }];
      for (const m of [0, 1]) askings[`plain ${n}.${m}`] = ['/v1/events', { ...write, headers }];
    }
    const hung = edge.daemons[0]!;
    await until(async () => {
      await requestEdge(edge, '/ready');
      return edge.log().at(-1)!.upstream === host(0);
    }, 'it is asked');
    const before = edge.log().length;
    hung.child.kill('SIGSTOP');
    const told = Object.entries(askings).map(
      async ([name, [path, asking]]) => [name, (await requestEdge(edge, path, asking)).status] as const,
    );
    const statuses = await Promise.all(told).finally(() => hung.child.kill('SIGCONT'));
    const plain = statuses.filter(([name]) => name.startsWith('plain')).map(([, status]) => status);
    expect(
      statuses.filter(([name, status]) => !name.startsWith('plain') && status !== (name.startsWith('keyed') ? 201 : 200)),
    ).toEqual([]);
    expect(new Set(plain)).toEqual(new Set([201, 504]));
    const unanswered = edge
      .log()
      .slice(before)
      .filter(({ status }) => status === 504);
    expect(unanswered.map(({ upstream }) => upstream)).toEqual(unanswered.map(() => host(0)));
    await until(() => hosts().length === 2, 'both are in the list again');
  }, 90_000);

  test('a daemon that is killed under load fails no repeatable request, and is used again after its restart', async () => {
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

  test('a hanging daemon is removed from the list, but the last one never is', async () => {
    for (const { child } of edge.daemons) child.kill('SIGSTOP');
    await sleep(8000);
    expect(hosts().length).toBeGreaterThan(0);
    edge.daemons[0]!.child.kill('SIGCONT');
    await until(() => hosts().join() === host(0), 'the one that answers is alone');
    expect((await requestEdge(edge, '/ready')).status).toBe(200);
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

  test('a certificate without its key is rejected, and the old one is still served', async () => {
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
    expect((await requestEdge(edge, '/ready')).status).toBe(200);
  });
});
