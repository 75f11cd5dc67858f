import MiniSearch from 'minisearch';
import type { Rendered, Section } from './markdown.ts';

// The search index: one entry per section of a page. The browser loads it with the same options.

/** The settings that `assets/search.js` repeats. */
const searchOptions = { fields: ['page', 'heading', 'body'], storeFields: ['page', 'heading', 'excerpt'] };

const EXCERPT_CHARACTERS = 120;

/** Returns the index as JSON. The id of an entry is its URL. */
export function searchIndex(pages: Map<string, Rendered>): string {
  const index = new MiniSearch(searchOptions);
  for (const [url, { title, sections }] of pages)
    for (const { id, level, text, body } of merged(url, sections)) {
      const excerpt = body.trim().slice(0, EXCERPT_CHARACTERS);
      index.add({ id: level === 1 ? url : `${url}#${id}`, page: title, heading: text, body, excerpt });
    }
  return JSON.stringify(index);
}

/** The parts of an operation, such as its headers, are found with the operation. */
function merged(url: string, sections: Section[]): Section[] {
  if (!url.startsWith('/docs/reference/')) return sections;
  const operations: Section[] = [];
  for (const section of sections)
    if (section.level <= 2) operations.push({ ...section });
    else operations.at(-1)!.body += ` ${section.body}`;
  return operations;
}
