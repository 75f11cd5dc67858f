import { once } from 'node:events';
import { request } from 'node:http';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { onEmbedded } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { digestOf, type SignedKey, sendRaw, sendSigned, signedHeaders } from '../support/sign.ts';
import { type Call, clientOf, makeSigned } from './client.ts';

let daemon: TestDaemon;
let other: TestDaemon;
let call: Call;
beforeAll(async () => {
  daemon = await startTestDaemon({ AUDIT_WINDOW_MS: '200' });
  // the embedded engine has one daemon
  other = onEmbedded() ? daemon : await startTestDaemon({}, daemon.env);
  call = clientOf(daemon.url);
});
afterAll(async () => {
  if (other !== daemon) await other.stop();
  await daemon.stop();
});

const EVENT = JSON.stringify({ text: 'signed words', channel: 'team' });
const now = () => Math.floor(Date.now() / 1000);
const outcome = ({ status, body }: { status: number; body: any }) => [
  status,
  /missing|stale|replayed|altered/.exec(body.detail ?? '')?.[0],
];

describe('a request of a signed key returns 401 that says', () => {
  let key: SignedKey;
  let owner: { tenant_id: string; token: string };
  beforeAll(async () => {
    ({ key, owner } = await makeSigned(call));
  });
  const headersOf = (change: (signature: string) => string) => {
    const headers = signedHeaders(key, 'GET', '/v1/usage');
    return { ...headers, 'x-signature': change(headers['x-signature']!) };
  };
  const ask = (headers: Record<string, string>) => sendRaw(daemon.url, 'GET', '/v1/usage', headers);

  test.each<[string, string, Record<string, string | undefined>]>([
    ['missing', 'without X-Signature', { 'x-signature': undefined }],
    ['missing', 'without Content-Digest', { 'content-digest': undefined }],
    ['missing', 'with another digest algorithm', { 'content-digest': 'sha-512=:AAAA:' }],
    ['missing', 'with an empty signature', { 'x-signature': '' }],
    ['altered', 'with the digest of another body', { 'content-digest': digestOf('other') }],
  ])('%s: %s', async (word, _, headers) => {
    expect(outcome(await sendSigned(daemon.url, key, 'GET', '/v1/usage', { headers }))).toEqual([401, word]);
  });

  test.each<[string, string, (signature: string) => string]>([
    ['missing', 'a nonce of 15 characters', (s) => s.replace(/n=[^,]*/, 'n=123456789012345')],
    ['missing', 'a nonce of 65 characters', (s) => s.replace(/n=[^,]*/, `n=${'a'.repeat(65)}`)],
    ['missing', 'a time that is no integer', (s) => s.replace(/t=\d+/, 't=1e9')],
    [
      'missing',
      'a signature in upper case',
      (s) => s.replace(/v1=.*/, (mac) => mac.toUpperCase().replace('V1', 'v1').replace(/\d/g, 'A')),
    ],
    ['missing', 'another version', (s) => s.replace('v1=', 'v2=')],
    ['missing', 'parts in another order', (s) => s.split(',').reverse().join(',')],
    ['altered', 'a wrong signature', (s) => s.replace(/v1=../, (mac) => (mac === 'v1=00' ? 'v1=11' : 'v1=00'))],
    ['altered', 'another nonce', (s) => s.replace(/n=./, (n) => (n === 'n=a' ? 'n=b' : 'n=a'))],
    ['altered', 'a later time', (s) => s.replace(/t=(\d+)/, (_, t) => `t=${Number(t) + 1}`)],
  ])('%s: %s', async (word, _, change) => {
    expect(outcome(await ask(headersOf(change)))).toEqual([401, word]);
  });

  test.each([-400, -310, 310, 400])('stale: a time that differs by %i s', async (offset) => {
    expect(outcome(await sendSigned(daemon.url, key, 'GET', '/v1/usage', { t: now() + offset }))).toEqual([401, 'stale']);
  });
  test.each([-280, 280])('nothing: a time that differs by %i s', async (offset) => {
    expect(outcome(await sendSigned(daemon.url, key, 'GET', '/v1/usage', { t: now() + offset }))).toEqual([200, undefined]);
  });

  test('altered: another method, another path, another body', async () => {
    const signed = signedHeaders(key, 'GET', '/v1/usage');
    expect(outcome(await sendRaw(daemon.url, 'HEAD', '/v1/usage', signed))[0]).toBe(401);
    expect(outcome(await sendRaw(daemon.url, 'GET', '/v1/usage?', signed))).toEqual([401, 'altered']);
    expect(outcome(await sendRaw(daemon.url, 'GET', '/v1/tenant', signed))).toEqual([401, 'altered']);
    const forged = EVENT.replace('words', 'lies!');
    const headers = signedHeaders(key, 'POST', '/v1/events', { body: EVENT });
    expect(outcome(await sendRaw(daemon.url, 'POST', '/v1/events', headers, [forged]))).toEqual([401, 'altered']);
    const { body } = await call('GET', '/v1/events?channel=team', { token: owner.token });
    expect(body.data).toEqual([]);
  });

  test('altered: a body that was cut, extended, sent in chunks, added to a GET or sent in place of an artifact', async () => {
    const post = (parts: string[]) =>
      sendRaw(daemon.url, 'POST', '/v1/events', signedHeaders(key, 'POST', '/v1/events', { body: EVENT }), parts);
    expect(outcome(await post([EVENT.slice(0, -1), ' '.repeat(5)]))).toEqual([401, 'altered']);
    expect(outcome(await post([`${EVENT} `]))).toEqual([401, 'altered']);
    expect(outcome(await post([]))).toEqual([401, 'altered']);
    expect((await post([...EVENT])).status).toBe(201);
    const get = signedHeaders(key, 'GET', '/v1/usage', { body: 'x' });
    expect(outcome(await sendRaw(daemon.url, 'GET', '/v1/usage', get, ['x']))).toEqual([401, 'altered']);
    const raw = { ...signedHeaders(key, 'POST', '/v1/artifacts', { body: 'good' }), 'content-type': 'text/plain' };
    expect(outcome(await sendRaw(daemon.url, 'POST', '/v1/artifacts', raw, ['evil']))).toEqual([401, 'altered']);
  });

  test('missing: the secret itself, as a key or as a bearer token, even with a signature', async () => {
    const attempts: Record<string, string>[] = [
      { 'x-api-key': key.api_key },
      { authorization: `Bearer ${key.api_key}` },
      { ...signedHeaders(key, 'GET', '/v1/usage'), 'x-api-key': key.api_key },
    ];
    for (const headers of attempts) expect(outcome(await ask(headers))).toEqual([401, 'missing']);
    expect((await ask({ authorization: `Bearer ${key.key_id}` })).status).toBe(401);
    expect((await ask({ 'x-api-key': `${key.api_key.slice(0, -4)}AAAA` })).body.detail).not.toContain('missing');
  });

  test('nothing about an unknown key, a key that does not sign, or one of another tenant', async () => {
    const plain = (
      await call('POST', '/auth/api-keys', { token: owner.token, body: { name: 'p', role: 'reader', scopes: ['read'] } })
    ).body;
    const unknown = { ...key, key_id: `key_${'0'.repeat(26)}` };
    for (const wrong of [plain, unknown])
      expect(outcome(await sendSigned(daemon.url, wrong, 'GET', '/v1/usage'))).toEqual([401, undefined]);
    const foreign = (await makeSigned(call)).key;
    expect(outcome(await sendSigned(daemon.url, { ...foreign, api_key: key.api_key }, 'GET', '/v1/usage'))).toEqual([
      401,
      'altered',
    ]);
  });

  test('a repeated header returns 400', async () => {
    const headers = signedHeaders(key, 'GET', '/v1/usage');
    const { hostname, port } = new URL(daemon.url);
    const asking = request({ hostname, port, path: '/v1/usage' });
    for (const [name, value] of Object.entries(headers)) asking.setHeader(name, name === 'x-signature' ? [value, value] : value);
    const [response] = await once(asking.end(), 'response');
    expect(response.statusCode).toBe(400);
    response.resume();
  });

  test('replayed: a request that is sent again, to this daemon or another', async () => {
    const headers = signedHeaders(key, 'GET', '/v1/usage');
    expect((await ask(headers)).status).toBe(200);
    expect(outcome(await ask(headers))).toEqual([401, 'replayed']);
    expect(outcome(await sendRaw(other.url, 'GET', '/v1/usage', headers))).toEqual([401, 'replayed']);
  });

  test('replayed: repetitions on another daemon do not use up the rate limit of the key', async () => {
    const { status, body: limited } = await call('POST', '/auth/api-keys', {
      token: owner.token,
      body: { name: 'l', role: 'reader', scopes: ['read'], signed: true, rate_limit: { max: 3, window_ms: 600_000 } },
    });
    expect(status).toBe(201);
    const headers = signedHeaders(limited, 'GET', '/v1/usage');
    expect((await ask(headers)).status).toBe(200);
    for (let i = 0; i < 5; i += 1)
      expect(outcome(await sendRaw(other.url, 'GET', '/v1/usage', headers))).toEqual([401, 'replayed']);
    expect((await sendSigned(other.url, limited, 'GET', '/v1/usage')).status).toBe(200);
  });

  test('replayed: all but one of 40 equal requests that reach two daemons at the same time', async () => {
    const headers = signedHeaders(key, 'POST', '/v1/events', { body: EVENT });
    const sent = Array.from({ length: 40 }, (_, i) =>
      sendRaw((i % 2 ? daemon : other).url, 'POST', '/v1/events', headers, [EVENT]),
    );
    const outcomes = (await Promise.all(sent)).map(outcome);
    expect(outcomes.filter(([status]) => status === 201)).toHaveLength(1);
    expect(outcomes.filter(([status, word]) => status === 401 && word === 'replayed')).toHaveLength(39);
  });

  test('a huge body with a wrong signature is refused before it is read', async () => {
    const headers = { ...signedHeaders(key, 'POST', '/v1/events', { body: EVENT }), 'content-digest': digestOf('other') };
    const { hostname, port } = new URL(daemon.url);
    const length = 30 * 1024 * 1024;
    const asking = request({
      hostname,
      port,
      method: 'POST',
      path: '/v1/events',
      headers: { ...headers, 'content-length': length },
    });
    asking.write('[');
    const [response] = await once(asking, 'response');
    expect([response.statusCode, response.headers.connection]).toEqual([401, 'close']);
    asking.on('error', () => undefined).destroy();
  });

  test('refused requests are counted in the audit of the tenant of the key', async () => {
    await sendSigned(daemon.url, key, 'GET', '/v1/usage', { headers: { 'content-digest': digestOf('other') } });
    await eventually(async () => {
      const { body } = await call('GET', '/v1/audit?action=refused', { token: owner.token });
      return body.data.some((entry: any) => entry.status === 401 && JSON.stringify(entry).includes(key.key_id));
    }, 'an entry that names the key');
  });
});
