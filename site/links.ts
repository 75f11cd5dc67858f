import { posix } from 'node:path';
import type { Source } from './sources.ts';

// Links between Markdown files become links between pages.

/** The address that the documentation uses for the reader's own server. */
const OWN_SERVER = /^http:\/\/localhost:3000(?=\/)/;

export interface Links {
  /** Returns the URL for the target of a link in a file; undefined if the site does not have it. */
  resolve(file: string, href: string): string | undefined;
  /** Returns the Markdown with absolute links to the Markdown of other pages. */
  absolute(source: Source): string;
}

/** `images`: files below `docs` that the site serves unchanged. */
export function linksOf(sources: Source[], images: string[]): Links {
  const pages = new Map(sources.map(({ file, url }) => [file, url]));

  function resolve(file: string, href: string): string | undefined {
    if (href.startsWith('#')) return href;
    if (/^[a-z]+:/.test(href)) return href.replace(OWN_SERVER, '');
    const [path, hash] = href.split('#') as [string, string?];
    const target = posix.join(posix.dirname(file), decodeURI(path)).replace(/\/$/, '');
    const url = pages.get(target) ?? pages.get(`${target}/index.md`) ?? fileUrl(target);
    return url && (hash === undefined ? url : `${url}#${hash}`);
  }

  function fileUrl(target: string): string | undefined {
    if (target === 'openapi.json') return '/openapi.json';
    return images.includes(target) ? `/${target}` : undefined;
  }

  const urls = new Set(pages.values());
  function absolute({ file, markdown }: Source): string {
    return markdown.replaceAll(/(?<=\]\()([^)\s]+)(?=\))/g, (href) => {
      if (href.startsWith('#')) return href;
      const [url, hash] = resolve(file, href)?.split('#') ?? [];
      if (url === undefined) return href;
      return `${urls.has(url) ? markdownUrl(url) : url}${hash === undefined ? '' : `#${hash}`}`;
    });
  }
  return { resolve, absolute };
}

/** The Markdown of a page is at its URL followed by `.md`. */
export const markdownUrl = (url: string): string => (url === '/docs' ? '/docs/index.md' : `${url}.md`);
