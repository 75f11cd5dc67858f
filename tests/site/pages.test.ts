import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { problems } from '../../src/http/problem.ts';
import { document } from '../support/contract.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

const root = join(import.meta.dirname, '../..');

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

const get = (path: string, init?: RequestInit) => fetch(daemon.url + path, { redirect: 'manual', ...init });

let crawled: Promise<Map<string, string>> | undefined;
const crawl = () => (crawled ??= followLinks());

/** Returns the pages of the site by URL, found by following links from /docs. */
async function followLinks(): Promise<Map<string, string>> {
  const pages = new Map<string, string>();
  const visited = new Set<string>();
  const visit = async (url: string): Promise<void> => {
    if (visited.has(url)) return;
    visited.add(url);
    const response = await get(url);
    expect([url, response.status]).toEqual([url, 200]);
    if (!response.headers.get('content-type')!.startsWith('text/html')) return;
    const html = await response.text();
    pages.set(url, html);
    await Promise.all(linksOf(html, url).map(({ path }) => visit(path)));
  };
  await visit('/docs');
  return pages;
}

/** The links and resources of a page that are on this server. */
function linksOf(html: string, url: string): { path: string; anchor: string }[] {
  const targets = [...html.matchAll(/\s(?:href|src)="([^"]*)"/g)].map(([, target]) => target!.replaceAll('&amp;', '&'));
  const base = new URL(url, daemon.url);
  const own = targets.map((target) => new URL(target, base)).filter(({ origin }) => origin === base.origin);
  return own.map(({ pathname, hash }) => ({ path: pathname, anchor: decodeURIComponent(hash.slice(1)) }));
}

test('GET / redirects to the documentation', async () => {
  const response = await get('/');
  expect([response.status, response.headers.get('location')]).toEqual([302, '/docs']);
});

test('every link and anchor of every page leads somewhere, and every Markdown file is a page', async () => {
  const pages = await crawl();
  const ids = new Map([...pages].map(([url, html]) => [url, new Set([...html.matchAll(/\sid="([^"]+)"/g)].map(([, id]) => id))]));
  const broken = [...pages].flatMap(([url, html]) =>
    linksOf(html, url)
      .filter(({ path, anchor }) => anchor && ids.has(path) && !ids.get(path)!.has(anchor))
      .map(({ path, anchor }) => `${url} → ${path}#${anchor}`),
  );
  expect([...new Set(broken)]).toEqual([]);
  const files = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.md'));
  const urls = files.map((name) => `/docs/${name.replace(/\.md$/, '')}`.replace(/\/index$/, ''));
  expect(urls.filter((url) => !pages.has(url))).toEqual([]);
});

test('ids are unique on each page', async () => {
  for (const [url, html] of await crawl()) {
    const ids = [...html.matchAll(/\sid="([^"]+)"/g)].map(([, id]) => id);
    expect([url, ids.filter((id, i) => ids.indexOf(id) !== i)]).toEqual([url, []]);
  }
});

test('a page runs no inline script or style and loads nothing from another host', async () => {
  for (const [url, html] of await crawl()) {
    expect([url, /<script>|<style|\sstyle=|\son\w+="/.exec(html)?.[0]]).toEqual([url, undefined]);
    expect([url, /<(?:script|link|img)[^>]*\s(?:src|href)="https?:[^"]*"/.exec(html)?.[0]]).toEqual([url, undefined]);
  }
  const policy = (await get('/docs')).headers.get('content-security-policy');
  expect(policy).toContain("default-src 'none'");
  expect(policy).not.toContain('unsafe');
});

test('each page also exists as Markdown, whose links lead to Markdown', async () => {
  const urls = [...(await crawl()).keys()].map((url) => (url === '/docs' ? '/docs/index.md' : `${url}.md`));
  const texts = await Promise.all(
    urls.map(async (url) => {
      const response = await get(url);
      expect([url, response.status, response.headers.get('content-type')]).toEqual([url, 200, 'text/markdown; charset=utf-8']);
      return (await response.text()).replaceAll(/```.*?```/gs, '');
    }),
  );
  const targets = new Set(texts.flatMap((text) => [...text.matchAll(/\]\((\/[^)#]*)/g)].map(([, target]) => target!)));
  expect(
    [...targets].filter((target) => target.startsWith('/docs/') && !target.endsWith('.md') && !target.endsWith('.svg')),
  ).toEqual([]);
  await expectFound([...targets]);
});

test('/llms.txt lists the Markdown of the pages', async () => {
  const text = await (await get('/llms.txt')).text();
  expect(text).toMatch(/^# Agent Memory\n\n> .+\n/);
  const listed = [...text.matchAll(/^- \[.+?\]\((.+?)\): .+$/gm)].map(([, url]) => url!);
  expect(listed).toContain('/docs/events.md');
  await expectFound(listed);
});

async function expectFound(urls: string[]): Promise<void> {
  const statuses = await Promise.all(urls.map(async (url) => [url, (await get(url, { method: 'HEAD' })).status]));
  expect(statuses.filter(([, status]) => status !== 200)).toEqual([]);
}

test('a browser revalidates a page by its ETag', async () => {
  const first = await get('/docs/problems');
  expect(first.headers.get('cache-control')).toBe('no-cache');
  const again = await get('/docs/problems', {
    headers: { 'If-None-Match': first.headers.get('etag')!, 'Cache-Control': 'max-age=0' },
  });
  expect(again.status).toBe(304);
});

test('a path outside the site returns 404', async () => {
  for (const path of [
    '/docs/../package.json',
    '/docs/%2e%2e%2fpackage.json',
    '/docs/..%5cpackage.json',
    '/docs/nothing',
    '/docs/events.html',
  ])
    expect([path, (await get(path)).status]).toEqual([path, 404]);
});

test('the page of problems has an anchor for each problem type', async () => {
  const html = await (await get('/docs/problems')).text();
  for (const type of Object.keys(problems)) expect(html).toContain(`id="${type}"`);
});

test('the reference has a form for each operation, and health and metrics come last', async () => {
  const pages = [...(await crawl())].filter(([url]) => url.startsWith('/docs/reference/')).map(([, html]) => html);
  const forms = pages.flatMap((html) => [...html.matchAll(/<form data-method="(\w+)" data-path="([^"]+)"/g)]);
  const documented = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(forms.map(([, method, path]) => `${method} ${path}`).sort()).toEqual(documented.sort());
  const index = await (await get('/docs/reference')).text();
  const paths = [...index.matchAll(/<code>[A-Z]+ (\/[^<]+)<\/code>/g)].map(([, path]) => path!);
  const isInternal = (path: string) => /^\/(?:health|ready|metrics)/.test(path);
  expect(paths.slice(paths.findIndex(isInternal)).every(isInternal)).toBe(true);
});

test('each form is filled in with the example of its operation', async () => {
  for (const [url, html] of await crawl()) {
    expect([url, html.match(/<input[^>]*\srequired[^>]*\svalue=""[^>]*>/g) ?? []]).toEqual([url, []]);
    const bodies = [...html.matchAll(/<textarea[^>]*>\n(.*?)<\/textarea>/gs)].map(([, body]) => body!.trim());
    expect([url, bodies.filter((body) => body === '' || body === '{}')]).toEqual([url, []]);
  }
});
