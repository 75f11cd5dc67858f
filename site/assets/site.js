// The script of every page: the menu of narrow screens, copy buttons, scrolling by keyboard, and the search box.

document.documentElement.classList.add('scripted');

const menu = document.getElementById('site-menu');
const navigation = document.getElementById('site-navigation');
menu.hidden = false;
menu.addEventListener('click', () => {
  menu.setAttribute('aria-expanded', String(navigation.classList.toggle('open')));
});

// a long sidebar shows the page that is open
const current = navigation.querySelector('[aria-current]');
if (current) navigation.scrollTop = current.offsetTop - navigation.clientHeight / 2;

for (const block of document.querySelectorAll('.code')) block.append(copyButton(block.querySelector('code')));

/** A button that copies the text of an element. */
export function copyButton(element) {
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = 'Copy';
  button.addEventListener('click', async () => {
    const copied = await copy(element.textContent);
    button.textContent = copied ? 'Copied' : 'Press Ctrl+C';
    if (!copied) getSelection().selectAllChildren(element);
    setTimeout(() => {
      button.textContent = 'Copy';
    }, 2000);
  });
  return button;
}

/** Browsers offer the clipboard only over HTTPS and on localhost. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** Makes elements that are wider than the screen focusable, so that the arrow keys can scroll them. */
function makeScrollable() {
  for (const element of document.querySelectorAll('.scroll')) {
    if (element.scrollWidth > element.clientWidth) element.tabIndex = 0;
    else element.removeAttribute('tabindex');
  }
}
makeScrollable();
addEventListener('resize', makeScrollable);

const query = document.getElementById('site-query');
document.getElementById('site-search').hidden = false;
addEventListener('keydown', (event) => {
  if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest('input, textarea, select')) return;
  event.preventDefault();
  query.focus();
});
query.addEventListener('focus', loadSearch, { once: true });

/** Loads the search and its index. If that fails, the next focus tries again. */
async function loadSearch() {
  const showLoading = () => showNote('Loading…');
  query.addEventListener('input', showLoading);
  showLoading();
  try {
    const { start } = await import('./search.js');
    await start();
  } catch (error) {
    console.error(error);
    showNote('The search could not be loaded');
    query.addEventListener('focus', loadSearch, { once: true });
  } finally {
    query.removeEventListener('input', showLoading);
  }
}

/** Shows a text in place of search results, unless the query is empty. */
export function showNote(text) {
  const results = document.getElementById('site-results');
  const item = document.createElement('li');
  const note = document.createElement('p');
  note.textContent = text;
  item.append(note);
  results.replaceChildren(item);
  results.hidden = query.value.trim() === '';
  document.getElementById('site-found').textContent = text;
}
