import { escapeHtml } from './html.ts';
import { markdownUrl } from './links.ts';
import type { Rendered } from './markdown.ts';
import type { Entry, Group } from './navigation.ts';

// The HTML around a page. It works without JavaScript, except for search, copy buttons and requests.

/** A page with fewer sections needs no list of them. */
const MIN_CONTENTS = 3;

export function layout(url: string, page: Rendered, navigation: Group[]): string {
  const title = url === '/docs' ? 'Agent Memory' : `${page.title} · Agent Memory`;
  const scripts = page.html.includes('<form') ? ['site', 'try'] : ['site'];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="description" content="${escapeHtml(page.summary)}">
<title>${escapeHtml(title)}</title>
<link rel="icon" href="/docs/icon.svg">
<link rel="stylesheet" href="/docs/site.css">
<link rel="alternate" type="text/markdown" href="${markdownUrl(url)}">
${scripts.map((name) => `<script type="module" src="/docs/${name}.js"></script>`).join('\n')}
</head>
<body>
<a class="skip" href="#site-content">Skip to the content</a>
<header class="top">
<button type="button" id="site-menu" aria-controls="site-navigation" aria-expanded="false" hidden>Menu</button>
<a class="brand" href="/docs">Agent Memory</a>
<search id="site-search" hidden>
<input type="search" id="site-query" placeholder="Search (/)" aria-label="Search the documentation" autocomplete="off" spellcheck="false">
<p class="unseen" role="status" id="site-found"></p>
<ul id="site-results" hidden></ul>
</search>
</header>
<div class="columns">
<nav id="site-navigation" aria-label="Pages">
${navigation.map((group, i) => groupHtml(group, i, url)).join('\n')}
</nav>
<main id="site-content">
${page.html}<p class="source"><a href="${markdownUrl(url)}">This page as Markdown</a></p>
</main>
${contents(page)}</div>
</body>
</html>
`;
}

function groupHtml({ title, entries }: Group, i: number, url: string): string {
  const items = `<ul${title ? ` aria-labelledby="site-group-${i}"` : ''}>\n${entries.map((entry) => item(entry, url)).join('\n')}\n</ul>`;
  return title ? `<p class="group" id="site-group-${i}">${escapeHtml(title)}</p>\n${items}` : items;
}

/** The children of an entry are shown while one of its pages is open. */
function item(entry: Entry, url: string): string {
  const link = `<a href="${entry.url}"${entry.url === url ? ' aria-current="page"' : ''}>${escapeHtml(entry.title)}</a>`;
  const isOpen = entry.children.length > 0 && (url === entry.url || url.startsWith(`${entry.url}/`));
  return `<li>${link}${isOpen ? `\n<ul>\n${entry.children.map((child) => item(child, url)).join('\n')}\n</ul>` : ''}</li>`;
}

function contents({ sections }: Rendered): string {
  const listed = sections.filter(({ level }) => level === 2);
  if (listed.length < MIN_CONTENTS) return '';
  const links = listed.map(({ id, text }) => `<li><a href="#${id}">${escapeHtml(text)}</a></li>`);
  return `<nav class="contents" aria-label="On this page">\n<p class="group">On this page</p>\n<ul>\n${links.join('\n')}\n</ul>\n</nav>\n`;
}
