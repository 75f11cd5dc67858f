import { escapeHtml } from './html.ts';
import { type Endpoint, endpointsOf, isSuccess, type OpenApi, type Parameter } from './reference/document.ts';
import { written } from './reference/operation.ts';

// A form for each operation of the reference. `assets/try.js` sends it and shows the response.

const COMMENT = /^<!-- try (\w+) -->$/;

/** Returns the form for the comment that marks its place in the Markdown; undefined for any other comment. */
export function tryForms(document: OpenApi): (comment: string) => string | undefined {
  const endpoints = new Map(endpointsOf(document).map((endpoint) => [endpoint.operationId, endpoint]));
  return (comment) => {
    const endpoint = endpoints.get(COMMENT.exec(comment)?.[1] ?? '');
    return endpoint && formOf(endpoint);
  };
}

function formOf(endpoint: Endpoint): string {
  const { operationId: id, method, path, parameters, requestBody, security, responses } = endpoint;
  const accepts = Object.entries(responses).flatMap(([status, { content = {} }]) =>
    isSuccess(status) ? Object.keys(content) : [],
  );
  const bodies = Object.entries(requestBody?.content ?? {});
  const [mediaType, media] = bodies.find(([, { example }]) => example !== undefined) ?? bodies[0] ?? [];
  const inputs = parameters.map((parameter) => input(id, parameter));
  return `<details class="try"><summary>Try it<span class="unseen">: ${escapeHtml(endpoint.summary)}</span></summary>
<form data-method="${method}" data-path="${path}"${mediaType ? ` data-type="${mediaType}"` : ''}>
<p><code>${method} ${escapeHtml(path)}</code></p>
${security?.length === 0 ? '' : credential(id)}
${inputs.length > 0 ? `<div class="inputs">\n${inputs.join('\n')}\n</div>` : ''}
${accepts.length > 1 ? acceptSelect(id, [...new Set(accepts)]) : ''}
${mediaType ? bodyArea(id, mediaType, media?.example) : ''}
<p><button type="submit">Send</button> <button type="button" class="stop" hidden>Stop</button>
<small>Sends the request to this server.</small></p>
<div class="answer" hidden>
<p role="status"></p>
<details><summary>Headers</summary><pre class="scroll"></pre></details>
<div class="code"><pre class="scroll"><code></code></pre></div>
</div>
</form></details>
`;
}

const credential = (id: string) => `<p><label for="${id}-credential">Access token or API key</label>
<input id="${id}-credential" class="token" type="password" autocomplete="off" spellcheck="false">
<small>Kept in this browser tab until it is closed.</small></p>`;

/** Path and query parameters have the values of the example; headers are empty, so that a repeated request is a new one. */
function input(id: string, { name, in: place, required, schema, example }: Parameter): string {
  const attributes = `id="${id}-${name}" name="${name}" data-in="${place}"${required ? ' required' : ''}`;
  const given = example === undefined || place === 'header' ? '' : String(written(example));
  const label = `<label for="${id}-${name}"><code>${name}</code>${required ? ' (required)' : ''}</label>`;
  const choices = schema.enum ?? (schema.const === undefined ? undefined : [schema.const]);
  if (choices) {
    const options = ['', ...choices.map(String)].map(
      (one) => `<option${one === given ? ' selected' : ''}>${escapeHtml(one)}</option>`,
    );
    return `<p>${label}<select ${attributes}>${options.join('')}</select></p>`;
  }
  const hint = schema.default === undefined ? '' : ` placeholder="${escapeHtml(String(schema.default))}"`;
  return `<p>${label}<input ${attributes} value="${escapeHtml(given)}"${hint} autocomplete="off" spellcheck="false"></p>`;
}

const acceptSelect = (id: string, mediaTypes: string[]) => `<p><label for="${id}-accept">Response as</label>
<select id="${id}-accept" class="accept">${mediaTypes.map((one) => `<option>${one}</option>`).join('')}</select></p>`;

function bodyArea(id: string, mediaType: string, example: unknown): string {
  const text = example === undefined ? (mediaType === 'application/json' ? '{}' : '') : written(example);
  const rows = Math.min(24, Math.max(4, text.split('\n').length + 1));
  return `<p><label for="${id}-body">Body</label>
<textarea id="${id}-body" class="body" rows="${rows}" spellcheck="false">\n${escapeHtml(text)}</textarea></p>`;
}
