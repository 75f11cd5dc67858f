import { json, type Pipeline, startPipeline } from './pipeline.ts';

const LISTED = 'https://console.example';
const OTHER = 'https://elsewhere.example';

let pipeline: Pipeline;
afterEach(() => pipeline.close());

async function request(origins: string[], method: string, origin?: string) {
  pipeline = await startPipeline(undefined, origins);
  const headers = { ...json, ...(origin !== undefined && { origin }) };
  return fetch(`${pipeline.url}/json/x`, { method, headers, ...(method === 'POST' && { body: '{}' }) });
}
const corsOf = ({ headers }: Response) =>
  Object.fromEntries([...headers].filter(([name]) => /^access-control-|^vary$/.test(name)));

const exposed = 'ETag, Location, Idempotent-Replay, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id';

test('the preflight of a listed origin returns the allowed methods and headers', async () => {
  const answer = await request([OTHER, LISTED], 'OPTIONS', LISTED);
  expect([answer.status, await answer.text()]).toEqual([204, '']);
  expect(corsOf(answer)).toEqual({
    vary: 'Origin',
    'access-control-allow-origin': LISTED,
    'access-control-allow-methods': 'GET, POST, PUT, PATCH, DELETE',
    'access-control-allow-headers':
      'Authorization, Content-Digest, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Lease, X-API-Key, X-Request-Id, X-Signature',
    'access-control-expose-headers': exposed,
    'access-control-max-age': '600',
  });
});

test('a listed origin may read the response and its exposed headers', async () => {
  const answer = await request([LISTED], 'POST', LISTED);
  expect(answer.status).toBe(200);
  expect(corsOf(answer)).toEqual({
    vary: 'Origin',
    'access-control-allow-origin': LISTED,
    'access-control-expose-headers': exposed,
  });
});

test('with *, the response names the origin of the request', async () => {
  const answer = await request(['*'], 'POST', OTHER);
  expect(corsOf(answer)).toMatchObject({ vary: 'Origin', 'access-control-allow-origin': OTHER });
});

test.each([
  ['another origin', [LISTED], OTHER, { vary: 'Origin' }],
  ['no origin', [LISTED], undefined, { vary: 'Origin' }],
  ['no origin where any is listed', ['*'], undefined, { vary: 'Origin' }],
  ['any origin where none is listed', [], OTHER, {}],
])('%s gets no CORS headers, and no preflight', async (_, origins, origin, expected) => {
  const read = await request(origins, 'POST', origin);
  expect([read.status, corsOf(read)]).toEqual([200, expected]);
  pipeline.close();
  const preflight = await request(origins, 'OPTIONS', origin);
  expect([preflight.status, corsOf(preflight)]).toEqual([405, expected]);
});
