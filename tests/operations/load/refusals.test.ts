import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { startTestDaemon, type TestDaemon } from '../../support/daemon.ts';
import { describeWithK6, figuresOf, report, runLoadTest } from './k6.ts';

/** A proxy in front of the daemon that replaces every fifth response to a turn by a 500 and every seventh by a 429. */
async function startFaults(daemon: string) {
  const made = { asked: 0, failed: 0, limited: 0 };
  const answer = (req: IncomingMessage, res: ServerResponse) => {
    const turn = req.url!.startsWith('/v1/') && !req.url!.startsWith('/v1/tenant') && req.headers.accept !== 'text/event-stream';
    if (turn) made.asked += 1;
    const status = turn && made.asked % 5 === 0 ? 500 : turn && made.asked % 7 === 0 ? 429 : 0;
    if (status) {
      made[status === 500 ? 'failed' : 'limited'] += 1;
      req.resume();
      res.writeHead(status, { 'content-type': 'application/problem+json' }).end('{}');
      return;
    }
    const passed = request(daemon + req.url, { method: req.method, headers: req.headers }, (from) => {
      res.writeHead(from.statusCode!, from.headers);
      from.pipe(res);
    });
    passed.once('error', () => res.destroy());
    res.once('close', () => passed.destroy());
    req.pipe(passed);
  };
  const server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const stop = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, made, stop };
}

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon?.stop());

describeWithK6('load: what ends a run', () => {
  test('the default limit is too low for the guide’s basic test: it aborts before it starts, and names the settings to raise', async () => {
    const limited = await startTestDaemon({
      RATE_LIMIT_ENABLED: 'true',
      RATE_LIMIT_MAX_REQUESTS: '100',
      RATE_LIMIT_TENANT_MAX: '1000',
      RATE_LIMIT_AUTH_MAX: '100',
    });
    const done = await runLoadTest('basic', { BASE_URL: limited.url, DURATION_SCALE: '1' });
    await limited.stop();
    expect(done.stderr).toContain('\\"principal\\" allows 100 requests in 60 s and this test makes up to 150');
    expect(done.stderr).toContain(
      'RATE_LIMIT_MAX_REQUESTS=150 RATE_LIMIT_TENANT_MAX=1452 or more, or with RATE_LIMIT_ENABLED=false',
    );
    expect([done.code, done.files]).toEqual([108, []]);
  });

  test('with exactly what it asks for nothing is limited', async () => {
    const env = { USERS_SCALE: '4' };
    const low = {
      RATE_LIMIT_ENABLED: 'true',
      RATE_LIMIT_MAX_REQUESTS: '10',
      RATE_LIMIT_TENANT_MAX: '10',
      RATE_LIMIT_AUTH_MAX: '4',
    };
    const raised: Record<string, string> = {};
    // registrations have their own limit, which is checked first
    for (let stops = 0; stops < 2; stops += 1) {
      const limited = await startTestDaemon({ ...low, ...raised });
      const done = await runLoadTest('smoke', { BASE_URL: limited.url, ...env });
      await limited.stop();
      expect(done.code).toBe(108);
      for (const [, name, value] of done.stderr.matchAll(/(RATE_LIMIT_[A-Z_]+)=(\d+)/g)) raised[name!] = value!;
    }
    expect(Object.keys(raised).sort()).toEqual(['RATE_LIMIT_AUTH_MAX', 'RATE_LIMIT_MAX_REQUESTS', 'RATE_LIMIT_TENANT_MAX']);
    const roomy = await startTestDaemon({ ...low, ...raised });
    const figures = figuresOf(await runLoadTest('smoke', { BASE_URL: roomy.url, ...env }));
    await roomy.stop();
    expect(figures.all.requests).toBeGreaterThan(0);
    expect(figures.all.rate_limited).toBe(0);
  });

  test('tokens that expire before the end abort the test', async () => {
    const brief = await startTestDaemon({ JWT_EXPIRES_IN: '90s' });
    const done = await runLoadTest('basic', { BASE_URL: brief.url, DURATION_SCALE: '1' });
    await brief.stop();
    expect(done.stderr).toContain('start the daemon with JWT_EXPIRES_IN=165s or more');
    expect([done.code, done.files]).toEqual([108, []]);
  });

  test('failures break a threshold and give exit code 99; a 429 is counted separately', async () => {
    const faults = await startFaults(daemon.url);
    const done = await runLoadTest('smoke', { BASE_URL: faults.url, USERS_SCALE: '4' });
    faults.stop();
    const figures = figuresOf(done);
    expect(done.code).toBe(99);
    expect(figures.passed).toBe(false);
    expect(faults.made.failed).toBeGreaterThan(0);
    expect(figures.all).toMatchObject({
      requests: faults.made.asked,
      failed: faults.made.failed,
      rate_limited: faults.made.limited,
    });
    expect(figures.answers).toMatchObject({ 429: faults.made.limited, 500: faults.made.failed });
    const missed = figures.thresholds.filter(({ ok }) => !ok).map(({ metric, rule }) => `${metric}: ${rule}`);
    expect(missed).toEqual(expect.arrayContaining(['rate_limited: count<1', 'http_req_failed{scenario:main}: rate<0.02']));
    expect(readFileSync(report(done, 'xml'), 'utf8')).toContain('failures="');
    expect(done.stdout).toContain('The figures are those of a rate limit');
  });

  test.each([
    ['k6 is missing', 'smoke', { K6: '/nowhere/k6' }, 127, /k6 is not installed: run .*install-k6\.sh/],
    ['the suite is unknown', 'fast', {}, 2, /smoke\|basic\|concurrent\|stress\|spike\|soak\|breakpoint/],
    [
      'nobody listens',
      'smoke',
      { BASE_URL: 'http://127.0.0.1:1' },
      108,
      /http:\/\/127\.0\.0\.1:1 cannot be reached.*Set BASE_URL/,
    ],
  ])('when %s, it reports that', async (_, suite, env, code, sentence) => {
    const done = await runLoadTest(suite, env);
    expect(done.stderr).toMatch(sentence);
    expect([done.code, done.files]).toEqual([code, []]);
  });
});
