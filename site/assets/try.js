// Sends the requests of the reference to the server that the page came from, and shows the responses.

const STORED = 'agent-memory-credential';
/** A longer response is cut off, so that the page stays usable. */
const MAX_CHARACTERS = 200_000;

for (const form of document.querySelectorAll('.try form')) {
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void send(form);
  });
}

for (const field of document.querySelectorAll('.token')) field.addEventListener('input', () => store(field.value.trim()));
show(sessionStorage.getItem(STORED) ?? '');

function store(credential) {
  sessionStorage.setItem(STORED, credential);
  show(credential);
}

/** All forms have the same credential. */
function show(credential) {
  for (const field of document.querySelectorAll('.token')) if (field !== document.activeElement) field.value = credential;
}

async function send(form) {
  const answer = form.querySelector('.answer');
  const [status, headers, body] = [
    answer.querySelector('[role=status]'),
    answer.querySelector('details pre'),
    answer.querySelector('code'),
  ];
  const stop = form.querySelector('.stop');
  const abort = new AbortController();
  stop.onclick = () => abort.abort();
  stop.hidden = answer.hidden = false;
  status.className = '';
  status.textContent = 'Waiting for the response';
  headers.textContent = body.textContent = '';
  try {
    const began = performance.now();
    const response = await fetch(urlOf(form), { ...requestOf(form), signal: abort.signal });
    status.className = response.ok ? 'good' : 'bad';
    status.textContent = `${response.status} ${response.statusText} in ${Math.round(performance.now() - began)} ms`;
    headers.textContent = [...response.headers].map(([name, value]) => `${name}: ${value}`).join('\n');
    await showBody(response, body, abort);
    if (response.ok) keepToken(body.textContent, status);
  } catch (error) {
    if (!abort.signal.aborted) {
      status.className = 'bad';
      status.textContent = `No response: ${error.message}`;
    } else status.textContent += ' (stopped)';
  } finally {
    stop.hidden = true;
    dispatchEvent(new Event('resize'));
  }
}

function urlOf(form) {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  for (const field of form.querySelectorAll('[data-in]')) {
    if (field.dataset.in === 'path') path = path.replace(`{${field.name}}`, encodeURIComponent(field.value));
    if (field.dataset.in === 'query' && field.value !== '') query.append(field.name, field.value);
  }
  return query.size > 0 ? `${path}?${query}` : path;
}

function requestOf(form) {
  const headers = new Headers();
  for (const field of form.querySelectorAll('[data-in=header]')) if (field.value !== '') headers.set(field.name, field.value);
  const credential = form.querySelector('.token')?.value.trim();
  if (credential) headers.set('Authorization', `Bearer ${credential}`);
  const accept = form.querySelector('.accept');
  if (accept) headers.set('Accept', accept.value);
  const body = form.querySelector('.body')?.value;
  if (body !== undefined) headers.set('Content-Type', form.dataset.type === '*/*' ? 'text/plain' : form.dataset.type);
  return { method: form.dataset.method, headers, ...(body !== undefined && { body }) };
}

/** Streams are shown as they arrive. */
async function showBody(response, target, abort) {
  const isJson = /^application\/(?:problem\+)?json/.test(response.headers.get('content-type') ?? '');
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { value, done } = (await reader?.read()) ?? { done: true };
    if (done) break;
    text += value;
    if (!isJson) target.textContent = text;
    if (text.length > MAX_CHARACTERS) {
      target.textContent = `${text.slice(0, MAX_CHARACTERS)}\n… cut off after ${MAX_CHARACTERS} characters`;
      return abort.abort();
    }
  }
  target.textContent = isJson ? indented(text) : text;
}

function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** The other forms use the token of a login. */
function keepToken(text, status) {
  try {
    const { access_token } = JSON.parse(text);
    if (typeof access_token !== 'string') return;
    store(access_token);
    status.textContent += '. The other requests on this page now use this access token';
  } catch {
    // not JSON
  }
}
