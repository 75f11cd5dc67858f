import MiniSearch from 'minisearch';
import type { Rendered } from './markdown.ts';

// The search index: one entry per section of a page. The browser loads it with the same options.

/** The settings that `assets/search.js` repeats. */
const searchOptions = { fields: ['page', 'heading', 'body'], storeFields: ['page', 'heading', 'excerpt'] };

const EXCERPT_CHARACTERS = 120;

/** Returns the index as JSON. The id of an entry is its URL. */
export function searchIndex(pages: Map<string, Rendered>): string {
  const index = new MiniSearch(searchOptions);
  for (const [url, { title, sections }] of pages)
    for (const { id, level, text, body } of sections) {
      const excerpt = body.trim().slice(0, EXCERPT_CHARACTERS);
      const heading = level === 1 ? '' : text;
      if (excerpt || heading) index.add({ id: level === 1 ? url : `${url}#${id}`, page: title, heading, body, excerpt });
    }
  return JSON.stringify(index);
}
