import type { Token } from 'markdown-it';
import type { Links } from './links.ts';
import { attribute, parseMarkdown } from './markdown.ts';
import type { Source } from './sources.ts';

// The sidebar: the headings and links of docs/index.md. A link to the index page of a folder has that page's links as children.

export interface Entry {
  title: string;
  url: string;
  children: Entry[];
}

export interface Group {
  title: string;
  entries: Entry[];
}

export function navigationOf(sources: Source[], links: Links): Group[] {
  const index = sources.find(({ file }) => file === 'docs/index.md');
  if (!index) throw new Error('docs/index.md is missing: the navigation is read from it');
  const folders = new Map(sources.filter(({ file }) => file.endsWith('/index.md') && file !== index.file).map((s) => [s.url, s]));
  return groupsOf(index, links).map(({ title, entries }) => ({
    title,
    entries: entries.map((entry) => {
      const folder = folders.get(entry.url);
      return folder ? { ...entry, children: childrenOf(folder, links) } : entry;
    }),
  }));
}

/** The pages of the folder that its index links to. */
function childrenOf(folder: Source, links: Links): Entry[] {
  const entries = groupsOf(folder, links).flatMap((group) => group.entries);
  return entries.filter(({ url }) => url.startsWith(`${folder.url}/`));
}

/** The first link of each list item, table row and heading, by heading. Links to sections and to other sites are left out. */
function groupsOf(source: Source, links: Links): Group[] {
  const groups: Group[] = [{ title: '', entries: [] }];
  const tokens = parseMarkdown(source.markdown);
  let inItem = false;
  for (const [i, token] of tokens.entries()) {
    if (token.type === 'heading_open' && token.tag !== 'h1') groups.push({ title: tokens[i + 1]!.content, entries: [] });
    if (/^(list_item|tr|heading)_open$/.test(token.type)) inItem = true;
    if (/^(list_item|tr|heading)_close$/.test(token.type)) inItem = false;
    if (token.type !== 'inline' || !inItem) continue;
    const entry = firstLink(token, (href) => links.resolve(source.file, href));
    if (!entry) continue;
    inItem = false;
    const { entries } = groups.at(-1)!;
    if (!entries.some(({ url }) => url === entry.url)) entries.push(entry);
  }
  return groups.filter(({ entries }) => entries.length > 0);
}

function firstLink({ children }: Token, resolve: (href: string) => string | undefined): Entry | undefined {
  const at = children!.findIndex(({ type }) => type === 'link_open');
  if (at < 0) return undefined;
  const url = resolve(attribute(children![at]!, 'href'));
  const end = children!.findIndex(({ type }, i) => i > at && type === 'link_close');
  const title = children!.slice(at + 1, end).map(({ content }) => content);
  return url?.startsWith('/docs') && !url.includes('#') ? { title: title.join(''), url, children: [] } : undefined;
}
