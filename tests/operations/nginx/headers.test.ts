import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:http2';
import { join } from 'node:path';
import { message, newTenant } from '../../support/client.ts';
import { type SignedKey, sendSigned } from '../../support/sign.ts';
import { describeWith } from '../../support/tool.ts';
import { type Edge, hasIpv6, requestEdge, startEdge, until } from './edge.ts';

/** The security headers of helmet that nginx adds if the daemon did not set them. */
const guards = [
  'strict-transport-security',
  'x-content-type-options',
  'x-frame-options',
  'referrer-policy',
  'content-security-policy',
  'cross-origin-resource-policy',
  'x-request-id',
];

describeWith(['nginx', 'openssl'], 'nginx: response headers', () => {
  let edge: Edge;
  beforeAll(async () => {
    edge = await startEdge();
  }, 120_000);
  afterAll(() => edge?.stop());

  test('every response has each security header exactly once, from nginx or from the daemon', async () => {
    const { token } = await newTenant(edge.operator);
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const answers = {
      express: await requestEdge(edge, '/health'),
      thin: await requestEdge(edge, '/v1/events', { method: 'POST', headers, body: JSON.stringify(message('hello')) }),
      page: await requestEdge(edge, '/docs'),
      refused: await requestEdge(edge, '/v1/events'),
      nginx: await requestEdge(edge, '/metrics'),
    };
    for (const [by, { names }] of Object.entries(answers)) {
      expect([by, ...guards.map((guard) => names.filter((name) => name === guard).length)]).toEqual([by, ...guards.map(() => 1)]);
      expect([by, names.filter((name, i) => names.indexOf(name) !== i)]).toEqual([by, []]);
    }
    expect(Object.values(answers).map(({ status }) => status)).toEqual([200, 201, 200, 401, 404]);
    expect(answers.express.headers['strict-transport-security']).toBe('max-age=63072000');
    expect(answers.express.headers.server).toBe('nginx');
    // the page sets its own policy, and works with it in a browser
    expect(answers.page.headers['content-security-policy']).toContain("script-src 'self'");
  });

  test('HSTS is not sent over a plain connection', async () => {
    const answer = await fetch(`${edge.operator}/health`);
    expect([answer.status, answer.headers.get('strict-transport-security')]).toEqual([200, null]);
  });

  test('a valid X-Request-Id appears in both logs, any other is replaced', async () => {
    const sane = await requestEdge(edge, '/v1/events', { headers: { 'x-request-id': 'run-7:step.3' } });
    expect([sane.headers['x-request-id'], JSON.parse(sane.text).request_id]).toEqual(['run-7:step.3', 'run-7:step.3']);
    for (const id of ['two words', '', 'x'.repeat(129), '<script>']) {
      const { headers, text } = await requestEdge(edge, '/v1/events', { headers: { 'x-request-id': id } });
      expect(headers['x-request-id']).toMatch(/^[0-9a-f]{32}$/);
      expect(JSON.parse(text).request_id).toBe(headers['x-request-id']);
    }
    await until(
      () => edge.log().some(({ request_id, path }) => request_id === 'run-7:step.3' && path === '/v1/events'),
      'nginx logs it',
    );
  });

  test('signed requests arrive as they were signed, in every location that proxies them', async () => {
    const alice = await newTenant(edge.operator);
    const made = await alice.request('POST', '/auth/api-keys', {
      body: { name: 'signer', role: 'member', scopes: ['read', 'write'], signed: true },
    });
    const key = made.body as SignedKey;
    const events = (count: number) =>
      JSON.stringify({ events: Array.from({ length: count }, () => ({ text: 'x'.repeat(1000) })) });
    const requests: [string, string, string?][] = [
      ['GET', '/v1/usage'],
      ['HEAD', '/v1/usage'],
      ['GET', '/v1/events?limit=2&channel=%74eam&tag=a%2Fb&session_id=a+b'],
      ['POST', '/v1/search', '{"query":"x"}'],
      ['POST', '/v1/events', events(1)],
      ['POST', '/v1/events', events(200)],
      ['GET', '/v1/export'],
    ];
    const statuses: unknown[] = [];
    for (const [method, target, body] of requests) {
      const { status } = await sendSigned(edge.operator, key, method, target, body === undefined ? {} : { body });
      statuses.push([method, target, status]);
    }
    expect(statuses).toEqual(requests.map(([method, target, body]) => [method, target, body?.includes('events') ? 201 : 200]));
  });

  test('nginx logs no query strings, and logs its own rejections with the requested path', async () => {
    await requestEdge(edge, '/metrics/x?q=a-secret');
    await until(() => edge.log().some(({ path, status }) => path === '/metrics/x' && status === 404), 'it is logged');
    expect(JSON.stringify(edge.log())).not.toContain('a-secret');
  });

  test('only the operator can read the metrics', async () => {
    for (const path of ['/metrics', '/metrics/', '/metrics/json', '//metrics', '/%6detrics', '/x/../metrics', '/metrics?x'])
      expect([path, (await requestEdge(edge, path)).status]).toEqual([path, 404]);
    const prometheus = await (await fetch(`${edge.operator}/metrics`)).text();
    expect(prometheus).toContain('agent_memory_total_requests');
    const json = await fetch(`${edge.operator}/metrics/json`);
    expect([json.status, json.headers.get('content-type')]).toEqual([200, expect.stringContaining('application/json')]);
  });

  test('port 80 redirects to TLS, except for the challenge of a certificate authority', async () => {
    const moved = await fetch(`${edge.http}/v1/events?limit=1`, { method: 'POST', redirect: 'manual' });
    expect([moved.status, moved.headers.get('location')]).toEqual([308, 'https://127.0.0.1/v1/events?limit=1']);
    mkdirSync(join(edge.dir, 'acme/.well-known/acme-challenge'), { recursive: true });
    writeFileSync(join(edge.dir, 'acme/.well-known/acme-challenge/token'), 'token.thumbprint');
    const challenge = await fetch(`${edge.http}/.well-known/acme-challenge/token`);
    expect([challenge.status, await challenge.text()]).toEqual([200, 'token.thumbprint']);
    expect((await fetch(`${edge.http}/.well-known/acme-challenge/other`)).status).toBe(404);
  });

  test('rejections of nginx are problem documents', async () => {
    const refused = {
      'headers-too-large': await requestEdge(edge, '/health', { headers: { 'x-long': 'x'.repeat(20_000) } }),
      'not-found': await requestEdge(edge, '/metrics'),
      'method-not-allowed': await requestEdge(edge, '/health', { method: 'TRACE' }),
      'too-large': await requestEdge(edge, '/auth/login', { method: 'POST', body: 'x'.repeat(20_000) }),
    };
    for (const [type, { status, headers, text }] of Object.entries(refused)) {
      expect([type, headers['content-type']]).toEqual([type, 'application/problem+json']);
      const problem = JSON.parse(text);
      expect(problem).toEqual({
        type: `/docs/problems#${type}`,
        title: expect.any(String),
        detail: expect.any(String),
        status,
        request_id: headers['x-request-id'],
      });
    }
    expect(Object.values(refused).map(({ status }) => status)).toEqual([431, 404, 405, 413]);
    const inClear = await fetch(edge.https.replace('https', 'http'));
    expect([inClear.status, ((await inClear.json()) as { type: string }).type]).toEqual([
      400,
      '/docs/problems#malformed-request',
    ]);
  });

  test.each([
    ['http', '/v1/events'],
    ['http', '/.well-known/acme-challenge/token'],
    ['https', '/health'],
    ['operator', '/metrics'],
  ] as const)('an unknown host is rejected on %s %s', async (port, path) => {
    const asking = { headers: { host: 'rebound.example.org' }, unverified: true };
    const { status, text } = await (port === 'https'
      ? requestEdge(edge, path, asking)
      : requestEdge({ ...edge, operator: edge[port] }, path, { ...asking, inClear: true }));
    expect([status, JSON.parse(text).type]).toEqual([421, '/docs/problems#misdirected']);
  });

  (hasIpv6 ? test : test.skip)('HTTP and HTTPS are answered over IPv6 (skipped where the machine has none)', async () => {
    const moved = await fetch(edge.http.replace('127.0.0.1', '[::1]'), { redirect: 'manual' });
    expect([moved.status, moved.headers.get('location')]).toEqual([308, 'https://[::1]/']);
    const overTls = await requestEdge({ ...edge, https: edge.https.replace('127.0.0.1', '[::1]') }, '/health/live', {
      unverified: true,
    });
    expect(overTls.status).toBe(200);
  });

  test('HTTP/2 carries many requests over one connection', async () => {
    const session = connect(edge.https, { ca: edge.ca });
    const ask2 = (path: string, body?: Buffer) =>
      new Promise<{ status: unknown; text: string }>((resolve, reject) => {
        const stream = session.request({ ':path': path, ':method': body ? 'POST' : 'GET' });
        let [status, text] = [undefined as unknown, ''];
        stream.once('response', (headers) => {
          status = headers[':status'];
        });
        stream.setEncoding('utf8').on('data', (part) => {
          text += part;
        });
        stream.once('end', () => resolve({ status, text })).once('error', reject);
        stream.end(body);
      });
    const answers = await Promise.all(Array.from({ length: 50 }, () => ask2('/health')));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    const tooLarge = await ask2('/auth/login', Buffer.alloc(17_000, ' '));
    expect([tooLarge.status, JSON.parse(tooLarge.text).type]).toEqual([413, '/docs/problems#too-large']);
    expect(session.alpnProtocol).toBe('h2');
    session.close();
  });
});
