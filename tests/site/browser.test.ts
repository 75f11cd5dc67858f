import { readFileSync } from 'node:fs';
import type { Browser, Page, Route } from 'playwright-core';
import { describeInBrowser, launchBrowser, observe } from '../support/browser.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';

const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const desktop = { width: 1280, height: 800 };
const phone = { width: 390, height: 844 };

describeInBrowser('the documentation site in Chromium', () => {
  let daemon: TestDaemon;
  let browser: Browser;
  beforeAll(async () => {
    [daemon, browser] = await Promise.all([startTestDaemon(), launchBrowser()]);
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    await daemon?.stop();
  });

  async function open(path: string, options: Parameters<Browser['newPage']>[0] = { viewport: desktop }): Promise<Page> {
    const page = await browser.newPage(options);
    await page.goto(daemon.url + path);
    return page;
  }

  test('no page reports an error, contacts another host or is wider than a phone', async () => {
    const page = await browser.newPage({ viewport: phone });
    const { hosts, errors } = observe(page);
    await page.goto(`${daemon.url}/docs`);
    const urls = await page.$$eval('#site-navigation a', (links) => links.map((link) => link.getAttribute('href')!));
    expect(urls.length).toBeGreaterThan(30);
    for (const url of [...urls, '/docs/reference/events', '/docs/reference/memories', '/docs/reference/authentication']) {
      await page.goto(daemon.url + url);
      const width = await page.evaluate('document.documentElement.scrollWidth');
      expect([url, width]).toEqual([url, phone.width]);
    }
    expect([...hosts]).toEqual([new URL(daemon.url).host]);
    expect(errors).toEqual([]);
    await page.close();
  }, 120_000);

  describe.each(['light', 'dark'] as const)('in %s colours', (colorScheme) => {
    test.each(['/docs', '/docs/memories', '/docs/reference/events', '/docs/problems'])(
      '%s passes axe',
      async (path) => {
        for (const viewport of [desktop, phone]) {
          const page = await open(path, { viewport, colorScheme });
          for (const form of await page.$$('.try > summary')) await form.click();
          await page.evaluate(axe);
          const violations = await page.evaluate(async () => {
            const results = await (globalThis as unknown as { axe: { run(): Promise<AxeResults> } }).axe.run();
            return results.violations.map(({ id, nodes }) => [id, ...nodes.slice(0, 3).map(({ html }) => html)]);
          });
          expect([path, viewport.width, violations]).toEqual([path, viewport.width, []]);
          await page.close();
        }
      },
      60_000,
    );
  });

  test('search works by keyboard', async () => {
    const page = await open('/docs');
    await page.keyboard.press('/');
    await page.keyboard.type('append-only log');
    await page.waitForSelector('#site-results a');
    await page.keyboard.press('ArrowDown');
    expect(await page.evaluate('document.activeElement.closest("#site-results") !== null')).toBe(true);
    await page.keyboard.press('Escape');
    expect(await page.isVisible('#site-results')).toBe(false);
    await page.keyboard.type(' ');
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/docs\/.+/);
    await page.close();
  });

  test('search shows that its index is loading until the results are there, and that it could not be loaded', async () => {
    const page = await open('/docs');
    const held: Route[] = [];
    await page.route('**/docs/search.json', (route) => void held.push(route));
    const note = (text: string) => page.waitForSelector(`#site-results p:text-is("${text}")`);
    await page.focus('#site-query');
    await eventually(() => held.length === 1, 'the first request');
    expect(await page.isVisible('#site-results')).toBe(false);
    await page.keyboard.type('webhook');
    await note('Loading…');
    await held[0]!.abort();
    await note('The search could not be loaded');
    await page.locator('#site-query').blur();
    await page.focus('#site-query');
    await eventually(() => held.length === 2, 'the second request');
    await note('Loading…');
    await held[1]!.continue();
    await page.waitForSelector('#site-results a');
    await page.close();
  });

  test('the menu opens the navigation on a phone', async () => {
    const page = await open('/docs/events', { viewport: phone });
    expect(await page.isVisible('#site-navigation')).toBe(false);
    await page.focus('#site-menu');
    await page.keyboard.press('Enter');
    expect(await page.isVisible('#site-navigation [aria-current=page]')).toBe(true);
    expect(await page.getAttribute('#site-menu', 'aria-expanded')).toBe('true');
    await page.close();
  });

  test('a code block is copied by its button', async () => {
    const context = await browser.newContext({ permissions: ['clipboard-read', 'clipboard-write'] });
    const page = await context.newPage();
    await page.goto(`${daemon.url}/docs/readme`);
    await page.focus('.code button');
    await page.keyboard.press('Enter');
    await page.waitForSelector('text=Copied');
    expect(await page.evaluate('navigator.clipboard.readText()')).toBe(await page.textContent('.code code'));
    await context.close();
  });

  test('requests are sent from the reference with the token of a login', async () => {
    const page = await open('/docs/reference/authentication');
    const { errors } = observe(page);
    const register = form(page, 'POST', '/auth/register');
    await register.fill('.body', JSON.stringify({ tenant_id: 'site', username: 'alice', password: 'a-long-passphrase' }));
    expect(await register.send()).toMatch(/^201 /);
    await page.goto(`${daemon.url}/docs/reference/events`);
    const record = form(page, 'POST', '/v1/events');
    await record.fill('.body', JSON.stringify({ text: 'hello' }));
    expect(await record.send()).toMatch(/^201 /);
    const { event_id } = JSON.parse(await record.body()) as { event_id: string };
    const read = form(page, 'GET', '/v1/events/{event_id}');
    await read.fill('[name=event_id]', event_id);
    expect(await read.send()).toMatch(/^200 /);
    expect(JSON.parse(await read.body())).toMatchObject({ event_id, content: { text: 'hello' } });
    const list = form(page, 'GET', '/v1/events');
    for (const name of ['channel', 'order']) await list.select(`[name=${name}]`, '');
    for (const [name, value] of Object.entries({ session_id: '', limit: '', after: '0' }))
      await list.fill(`[name=${name}]`, value);
    await list.select('.accept', 'text/event-stream');
    expect(await list.follow(event_id)).toMatch(/^200 .*\(stopped\)$/);
    expect(errors).toEqual([]);
    await page.close();
  });
});

interface AxeResults {
  violations: { id: string; nodes: { html: string }[] }[];
}

/** The form of an operation, opened. */
function form(page: Page, method: string, path: string) {
  const selector = `form[data-method="${method}"][data-path="${path}"]`;
  const details = page.locator('.try', { has: page.locator(selector) });
  const opened = async () => {
    if (!(await page.isVisible(selector))) await details.locator('> summary').click();
  };
  return {
    fill: async (field: string, value: string) => {
      await opened();
      await page.fill(`${selector} ${field}`, value);
    },
    /** Returns the status line. */
    send: async () => {
      await opened();
      await page.click(`${selector} [type=submit]`);
      await page.locator(`${selector} [role=status]`, { hasText: /^\d{3} / }).waitFor();
      await page.waitForSelector(`${selector} .stop`, { state: 'hidden' });
      return (await page.textContent(`${selector} [role=status]`))!;
    },
    select: async (field: string, value: string) => {
      await opened();
      await page.selectOption(`${selector} ${field}`, value);
    },
    /** Stops the stream after this text has arrived, and returns the status line. */
    follow: async (text: string) => {
      await page.click(`${selector} [type=submit]`);
      await page.locator(`${selector} .answer code`, { hasText: text }).waitFor();
      await page.click(`${selector} .stop`);
      await page.waitForSelector(`${selector} .stop`, { state: 'hidden' });
      return (await page.textContent(`${selector} [role=status]`))!;
    },
    body: async () => (await page.textContent(`${selector} .answer code`))!,
  };
}
