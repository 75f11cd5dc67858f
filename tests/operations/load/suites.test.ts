import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { operations } from '../../load/suites.ts';
import { startTestDaemon } from '../../support/daemon.ts';
import { findTool } from '../../support/tool.ts';
import { type Edge, startEdge } from '../nginx/edge.ts';
import { describeWithK6, figuresOf, k6, type Run, report, runLoadTest } from './k6.ts';

// Runs through nginx and TLS if nginx is installed, else directly against the daemon.
const throughNginx = findTool('nginx') !== undefined && findTool('openssl') !== undefined;
const executablePath = findTool('chromium');

let target: { url: string; stop(): Promise<unknown> };
const runs: Run[] = [];
beforeAll(async () => {
  if (throughNginx) {
    const edge: Edge = await startEdge({ daemons: 1 });
    target = { url: edge.https, stop: edge.stop };
  } else target = await startTestDaemon();
}, 120_000);
afterAll(async () => {
  await target?.stop();
  if (!process.env.RESULTS_DIR) for (const { dir } of runs) rmSync(dir, { recursive: true, force: true });
});

async function run(suite: string): Promise<Run> {
  const done = await runLoadTest(suite, { BASE_URL: target.url, K6_INSECURE: 'true' });
  runs.push(done);
  return done;
}

/** `1m30s` */
const secondsIn = (text: string | null): number =>
  [...(text ?? '').matchAll(/(\d+)([hms])/g)].reduce(
    (sum, [, amount, unit]) => sum + Number(amount) * { h: 3600, m: 60, s: 1 }[unit as 's'],
    0,
  );

/** Latency thresholds may fail on a busy machine; all others must hold. */
const ofTime = /^(http_req_duration|http_req_waiting|dropped_iterations)/;

describeWithK6(`load: ${throughNginx ? 'through nginx and TLS' : 'without nginx, which is not installed'}`, () => {
  test.each([
    ['smoke', 1, 30],
    ['basic', 10, 105],
    ['concurrent', 20, 150],
    ['stress', 50, 300],
    ['spike', 50, 120],
    ['soak', 10, 3660],
    ['breakpoint', 100, 600],
  ])('k6 runs the suite %s as the guide describes it: up to %d users, %d s', (suite, users, seconds) => {
    const script = join(import.meta.dirname, '../../load/main.ts');
    const told = JSON.parse(
      execFileSync(k6!, ['inspect', '--execution-requirements', '-e', `SUITE=${suite}`, script], { encoding: 'utf8' }),
    );
    const turns = Object.values<any>(told.scenarios).filter(({ exec }) => exec === 'turn');
    const last = turns.map(({ startTime, duration, stages }) => secondsIn(startTime) + secondsIn(duration ?? stages[0].duration));
    expect(Math.max(...last)).toBe(seconds);
    expect(Math.max(...turns.map(({ rate, stages }) => rate ?? stages[0].target))).toBe(users);
    expect(new Set(turns.map(({ timeUnit }) => timeUnit))).toEqual(new Set(['4s']));
  });

  test.each(['smoke', 'basic'])(
    '%s performs every operation, and every response is correct',
    async (suite) => {
      const done = await run(suite);
      if (process.env.RESULTS_DIR) process.stderr.write(done.stdout);
      expect(done.stderr).not.toMatch(/could not be deleted|level=warning msg="(?!Insufficient VUs)/);
      const figures = figuresOf(done);
      expect(figures.operations.filter(({ requests }) => requests === 0)).toEqual([]);
      expect(figures.operations.map(({ name }) => name)).toEqual([...operations]);
      expect(figures.checks.map(({ name }) => name)).toHaveLength(operations.length + 1);
      expect(figures.checks.filter(({ passes, fails }) => passes === 0 || fails > 0)).toEqual([]);
      expect(figures.all).toMatchObject({ failed: 0, rate_limited: 0 });
      expect(figures.answers).toEqual({ 200: figures.all.requests / 2, 201: figures.all.requests / 2 });
      expect(figures.timeline.reduce((sum, { requests }) => sum + requests, 0)).toBe(figures.all.requests);
      const missed = figures.thresholds.filter(({ ok }) => !ok);
      expect(missed.filter(({ metric }) => !ofTime.test(metric))).toEqual([]);
      expect(done.code).toBe(missed.length === 0 ? 0 : 99);
    },
    1_200_000,
  );

  (throughNginx ? test : test.skip)(
    'a certificate that nobody signed is refused with what to set (skipped without nginx)',
    async () => {
      const done = await runLoadTest('smoke', { BASE_URL: target.url });
      expect(done.stderr).toMatch(/cannot be reached.*x509.*K6_INSECURE=true/);
      expect([done.code, done.files]).toEqual([108, []]);
    },
  );

  (executablePath ? test : test.skip)(
    'the report is one page that draws its plots and fetches nothing, and the JUnit file is XML (skipped without Chromium)',
    async () => {
      const done = runs.at(-1)!;
      const browser = await chromium.launch({ executablePath: executablePath!, args: ['--no-sandbox', '--disable-gpu'] });
      const page = await browser.newPage();
      const [asked, complaints] = [[] as string[], [] as string[]];
      page.on('request', (request) => asked.push(request.url()));
      page.on('console', (line) => complaints.push(line.text()));
      await page.goto(`file://${report(done, 'html')}`);
      // Runs in the page: the drawn width of each line, not the attribute.
      const lines = await page.$$eval('polyline', (all) => all.map((one) => one.getBoundingClientRect().width));
      const bars = await page.$$eval('rect.bar', (all) => all.map((one) => one.getBoundingClientRect().width));
      const xml = await page.evaluate(
        (text) => {
          const read = new (globalThis as any).DOMParser().parseFromString(text, 'text/xml');
          return { wrong: read.querySelectorAll('parsererror').length, cases: read.querySelectorAll('testcase').length };
        },
        readFileSync(report(done, 'xml'), 'utf8'),
      );
      await browser.close();
      expect(lines).toHaveLength(5);
      expect(Math.min(...lines)).toBeGreaterThan(100);
      expect(bars).toHaveLength(operations.length * 3);
      expect(Math.min(...bars)).toBeGreaterThan(0);
      expect(asked).toEqual([`file://${report(done, 'html')}`]);
      expect(complaints).toEqual([]);
      const { thresholds, checks } = figuresOf(done);
      expect(xml).toEqual({ wrong: 0, cases: thresholds.length + checks.length });
    },
    120_000,
  );
});
