import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { startTestDaemon, type TestDaemon } from './support/daemon.ts';

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) =>
  existsSync(path),
);
const flags =
  '--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync';

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

test('GET / leads to the reference', async () => {
  const answer = await fetch(`${daemon.url}/`, { redirect: 'manual' });
  expect([answer.status, answer.headers.get('location')]).toEqual([302, '/docs']);
});

(executablePath ? test : test.skip)(
  '/docs shows every operation in a real browser, asks no other host and breaks no policy (skipped without Chromium)',
  async () => {
    const browser = await chromium.launch({ executablePath: executablePath!, args: flags.split(' ') });
    const page = await browser.newPage();
    const [hosts, complaints] = [new Set<string>(), [] as string[]];
    page.on('request', (request) => hosts.add(new URL(request.url()).host));
    page.on('console', (line) => {
      if (line.type() === 'error') complaints.push(line.text());
    });
    page.on('pageerror', (error) => complaints.push(error.message));
    await page.goto(`${daemon.url}/docs`);
    await page.waitForSelector('.opblock');
    const shown = await page.$$eval('.opblock', (blocks) => blocks.length);
    await page.goto(`${daemon.url}/docs/problems`);
    const problems = await page.textContent('body');
    await browser.close();
    expect(shown).toBe(daemon.routes.length);
    expect(problems).toContain('rate-limited');
    expect([...hosts]).toEqual([new URL(daemon.url).host]);
    expect(complaints).toEqual([]);
  },
  60_000,
);
