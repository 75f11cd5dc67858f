import MiniSearch from './minisearch.js';
import { showNote } from './site.js';

// The search box. The index is loaded when the box first has the focus.

const MAX_RESULTS = 12;
const options = { fields: ['page', 'heading', 'body'], storeFields: ['page', 'heading', 'excerpt'] };
/** Guides come before the pages that list details. */
const DETAILS = /^\/docs\/(?:reference|decisions|runbooks|changelog)\b/;
const matching = {
  prefix: true,
  fuzzy: 0.15,
  combineWith: 'AND',
  boost: { page: 3, heading: 4 },
  boostDocument: (id) => (DETAILS.test(id) ? 0.5 : 1),
};

const search = document.getElementById('site-search');
const query = document.getElementById('site-query');
const results = document.getElementById('site-results');
const found = document.getElementById('site-found');

export async function start() {
  const response = await fetch('/docs/search.json');
  const index = MiniSearch.loadJSON(await response.text(), options);
  const update = () => show(query.value.trim() ? index.search(query.value, matching).slice(0, MAX_RESULTS) : undefined);
  query.addEventListener('input', update);
  query.addEventListener('focus', update);
  search.addEventListener('keydown', onKey);
  document.addEventListener('click', (event) => {
    if (!search.contains(event.target)) results.hidden = true;
  });
  search.addEventListener('focusout', (event) => {
    if (event.relatedTarget && !search.contains(event.relatedTarget)) results.hidden = true;
  });
  update();
}

/** `hits` is undefined if the query is empty. */
function show(hits) {
  results.hidden = hits === undefined;
  if (!hits) return results.replaceChildren();
  if (hits.length === 0) return showNote('No results');
  found.textContent = `${hits.length} results`;
  results.replaceChildren(...hits.map(resultOf));
}

function resultOf({ id, page, heading, excerpt }) {
  const link = document.createElement('a');
  link.href = id;
  link.textContent = heading === page ? page : `${page}: ${heading}`;
  const small = document.createElement('small');
  small.textContent = excerpt;
  link.append(small);
  link.addEventListener('click', () => {
    results.hidden = true;
  });
  const item = document.createElement('li');
  item.append(link);
  return item;
}

/** Arrow keys move between the box and the results, Enter in the box opens the first, Escape closes them. */
function onKey(event) {
  const links = [...results.querySelectorAll('a')];
  const at = links.indexOf(document.activeElement);
  const open = !results.hidden;
  if (event.key === 'ArrowDown' && open) links[Math.min(at + 1, links.length - 1)]?.focus();
  else if (event.key === 'ArrowUp' && open) (at > 0 ? links[at - 1] : query).focus();
  else if (event.key === 'Enter' && open && document.activeElement === query) links[0]?.click();
  else if (event.key === 'Escape' && open) {
    // the focus shows the results
    query.focus();
    results.hidden = true;
  } else return;
  event.preventDefault();
}
