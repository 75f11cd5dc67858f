import { setTimeout as sleep } from 'node:timers/promises';
import { dependenciesOf, type Example, type Examples, type RecordedResponse, resolve } from '../../src/examples.ts';
import { assertConforms } from '../support/contract.ts';
import { stabilizer } from './stable.ts';

// Executes examples, each after those that it depends on, against a daemon.

/** The tenant and the receiver of webhooks in the examples. */
const TENANT = 'acme';
/** Not in the domain acme.example. */
const tenantName = /\bacme\b(?!\.)/g;
const RECEIVER = 'https://hooks.acme.example';
const UNTIL_MS = 30_000;
const recordedHeaders = ['Location', 'ETag', 'Content-Range', 'Content-Disposition', 'Idempotent-Replay', 'Retry-After'];

/** Sends the request of an example with changes. */
type Send = (change: (request: Example) => Example) => Promise<RecordedResponse>;

/**
 * Returns a function that executes the example of this name in the tenant and returns its response as it is recorded. `before` is called before
 * each request, once everything that it depends on has been executed.
 */
export function storyOn(
  examples: Examples,
  url: string,
  tenant: string,
  receiver: string,
  before: (name: string, send: Send) => Promise<void> = async () => undefined,
) {
  const responses = new Map<string, RecordedResponse>();
  const recorded = new Map<string, RecordedResponse>();
  const responseOf = (name: string): RecordedResponse => responses.get(name)!;
  const stable = stabilizer(depthsIn(examples), [
    [receiver, RECEIVER],
    ['127.0.0.1', '203.0.113.7'],
    [tenant, TENANT],
  ]);

  async function run(name: string): Promise<RecordedResponse> {
    const example = examples[name]!;
    for (const dependency of dependenciesOf(example)) if (!recorded.has(dependency)) await run(dependency);
    if (recorded.has(name)) return recorded.get(name)!;
    // two examples never share a millisecond
    await sleep(5);
    stable.next(name);
    const template = stable
      .toReal(JSON.stringify({ ...example, response: undefined }))
      .replaceAll(RECEIVER, receiver)
      .replaceAll(tenantName, tenant);
    const request = resolve(JSON.parse(template) as Example, responseOf);
    const credential = credentialOf(request.as, responseOf);
    await before(name, (change) => execute(url, change(request), credential));
    const response = await untilReady(() => execute(url, request, credential), request.until);
    responses.set(name, response);
    await untilJobEnds(url, request, responseOf, response);
    const { body, ...rest } = response;
    recorded.set(name, stable.toStory({ ...rest, ...(body !== undefined && { body: excerptOf(body, request.excerpt) }) }));
    return recorded.get(name)!;
  }
  return run;
}

/** Returns a function that returns the length of the longest chain of examples that an example depends on. */
function depthsIn(examples: Examples): (name: string) => number {
  const depths = new Map<string, number>();
  const depthOf = (name: string, path: string[] = []): number => {
    const example = examples[name];
    if (!example) throw new Error(`${path.at(-1)} refers to ${name}, which does not exist`);
    if (path.includes(name)) throw new Error(`examples depend on each other: ${[...path, name].join(', ')}`);
    const depth = depths.get(name) ?? 1 + Math.max(-1, ...dependenciesOf(example).map((one) => depthOf(one, [...path, name])));
    depths.set(name, depth);
    return depth;
  };
  for (const name of Object.keys(examples)) depthOf(name);
  return depthOf;
}

function credentialOf(as: string | undefined, responseOf: (name: string) => RecordedResponse): Record<string, string> {
  if (as === undefined) return {};
  const { access_token, api_key } = responseOf(as).body as { access_token?: string; api_key?: string };
  return api_key === undefined ? { authorization: `Bearer ${access_token}` } : { 'x-api-key': api_key };
}

async function execute(url: string, request: Example, credential: Record<string, string>): Promise<RecordedResponse> {
  const [, missing] = /(\{\{\w+[^}]*\}\})/.exec(JSON.stringify(request)) ?? [];
  if (missing !== undefined) throw new Error(`${missing} has no value`);
  const [method, path] = pathOf(request);
  const { body, headers = {}, excerpt } = request;
  const response = await fetch(url + path, {
    method,
    headers: {
      'user-agent': 'curl/8.5.0',
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...credential,
      ...Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
    },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const mediaType = (response.headers.get('content-type') ?? '').split(';')[0]!;
  const isStream = mediaType === 'text/event-stream';
  const text = isStream ? await firstEvents(response, Number(excerpt)) : await response.text();
  const read = /[/+]json$/.test(mediaType) ? JSON.parse(text) : text;
  assertConforms(method, path, response.status, response.headers, read);
  const kept = recordedHeaders.flatMap((name) => (response.headers.has(name) ? [[name, response.headers.get(name)!]] : []));
  const all = Object.fromEntries(mediaType === 'application/json' || text === '' ? kept : [['Content-Type', mediaType], ...kept]);
  return {
    status: response.status,
    ...(Object.keys(all).length > 0 && { headers: all }),
    ...(text !== '' && { body: read }),
  };
}

function pathOf({ operation, params = {}, query = {} }: Example): [method: string, path: string] {
  const [method, template] = operation.split(' ') as [string, string];
  const path = template.replaceAll(/\{(\w+)\}/g, (_, name) => encodeURIComponent(params[name] ?? ''));
  const search = new URLSearchParams(
    Object.entries(query).map(([name, value]): [string, string] => [name, String(value)]),
  ).toString();
  return [method, search === '' ? path : `${path}?${search}`];
}

/** Reads so many server-sent events without comments and heartbeats, then closes the stream. */
async function firstEvents(response: Response, count: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  let events: string[] = [];
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true });
    events = text
      .split('\n\n')
      .slice(0, -1)
      .filter((event) => /^data:/m.test(event));
    if (events.length >= count) break;
  }
  return events
    .slice(0, count)
    .map((event) => `${event}\n\n`)
    .join('');
}

async function untilReady(ask: () => Promise<RecordedResponse>, until: string | undefined): Promise<RecordedResponse> {
  for (let waited = 0; ; waited += 50) {
    const response = await ask();
    if (until === undefined || JSON.stringify(response.body).includes(until)) return response;
    if (waited > UNTIL_MS) throw new Error(`no response contains ${until}: ${JSON.stringify(response)}`);
    await sleep(50);
  }
}

/** A job changes what later examples read, so it has to end before they start. */
async function untilJobEnds(
  url: string,
  { as }: Example,
  responseOf: (name: string) => RecordedResponse,
  { status, body }: RecordedResponse,
) {
  const { job_id } = (body ?? {}) as { job_id?: string };
  if (status !== 202 || job_id === undefined) return;
  const read = () => execute(url, { operation: `GET /v1/jobs/${job_id}` }, credentialOf(as, responseOf));
  await untilReady(read, '"finished_at"');
}

/** A JSON object keeps the named members, a text its first lines or those that contain one of the names. */
function excerptOf(body: unknown, excerpt: Example['excerpt']): unknown {
  if (excerpt === undefined) return body;
  if (typeof body !== 'string') {
    const named = Object.entries(body as object).filter(([name]) => (excerpt as string[]).includes(name));
    return Object.fromEntries(named);
  }
  if (body.startsWith('id:')) return body;
  const lines = body.split('\n').filter((line) => line !== '');
  const kept =
    typeof excerpt === 'number' ? lines.slice(0, excerpt) : lines.filter((line) => excerpt.some((name) => line.includes(name)));
  return kept.map((line) => `${line}\n`).join('');
}
