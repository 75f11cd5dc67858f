import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';
import { withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { onEmbedded, serverConnection, testOnServer } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { digestOf, type SignedKey, sendRaw, sendSigned, signedHeaders } from '../support/sign.ts';
import { readEvents } from '../support/sse.ts';
import { type Call, clientOf, makeOwner, makeUser } from './client.ts';

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

async function makeSigned(more: object = {}) {
  const owner = await makeOwner(call);
  const { status, body } = await call('POST', '/auth/api-keys', {
    token: owner.token,
    body: { name: 'signer', role: 'admin', scopes: ['read', 'write', 'admin'], signed: true, ...more },
  });
  expect([status, body.signed]).toEqual([201, true]);
  return { owner, key: body as SignedKey };
}

const EVENT = JSON.stringify({ text: 'signed words', channel: 'team' });
const now = () => Math.floor(Date.now() / 1000);
const outcome = ({ status, body }: { status: number; body: any }) => [
  status,
  /missing|stale|replayed|altered/.exec(body.detail ?? '')?.[0],
];

describe('a signed key', () => {
  test('writes, reads, searches and lists with signed requests on every daemon, and is listed as signed', async () => {
    const { owner, key } = await makeSigned();
    const written = await sendSigned(daemon.url, key, 'POST', '/v1/events', { body: EVENT });
    expect(written.status).toBe(201);
    const { event_id } = written.body;
    const read = await sendSigned(other.url, key, 'GET', `/v1/events/${event_id}`);
    expect([read.status, read.body.content.text]).toEqual([200, 'signed words']);
    const listed = await sendSigned(other.url, key, 'GET', '/v1/events?channel=team&limit=5&order=desc');
    expect(listed.body.data.map((event: any) => event.event_id)).toEqual([event_id]);
    const found = await sendSigned(daemon.url, key, 'POST', '/v1/search', { body: '{"query":"words","channel":"team"}' });
    expect(found.body.data).toMatchObject([{ event_id }]);
    const keys = (await call('GET', '/auth/api-keys', { token: owner.token })).body.data;
    expect(keys).toMatchObject([{ key_id: key.key_id, signed: true, used_at: expect.any(String) }]);
    expect(JSON.stringify(keys)).not.toMatch(/sealed|amk\./);
  });

  test('sends HEAD requests, other methods without a body, artifacts and large bodies', async () => {
    const { key } = await makeSigned();
    expect((await sendSigned(daemon.url, key, 'HEAD', '/v1/usage')).status).toBe(200);
    const bytes = Buffer.alloc(200_000, 'artifact ');
    const headers = { 'content-type': 'text/plain' };
    const artifact = await sendSigned(daemon.url, key, 'POST', '/v1/artifacts?channel=team', { body: bytes, headers });
    expect(artifact.status).toBe(201);
    const events = JSON.stringify({
      events: Array.from({ length: 800 }, (_, i) => ({ text: `number ${i} ${'x'.repeat(100)}`, channel: 'team' })),
    });
    expect((await sendSigned(daemon.url, key, 'POST', '/v1/events', { body: events })).status).toBe(201);
    const { body: made } = await sendSigned(daemon.url, key, 'POST', '/auth/api-keys', {
      body: '{"name":"child","role":"reader","scopes":["read"]}',
    });
    expect((await sendSigned(daemon.url, key, 'DELETE', `/auth/api-keys/${made.key_id}`)).status).toBe(204);
  });

  test('covers the path and query exactly as they were sent', async () => {
    const { key } = await makeSigned();
    for (const target of [
      '/v1/events?limit=2&channel=team',
      '/v1/events?channel=%74eam&&limit=2',
      '/v1/events?channel=team&tag=a%20b&tag=a+b',
      '/%76%31/usage',
    ])
      expect([target, (await sendSigned(daemon.url, key, 'GET', target)).body.detail]).not.toEqual([
        target,
        expect.stringContaining('altered'),
      ]);
    const headers = signedHeaders(key, 'GET', '/v1/events?channel=team&limit=2');
    expect(outcome(await sendRaw(daemon.url, 'GET', '/v1/events?limit=2&channel=team', headers))).toEqual([401, 'altered']);
  });

  test('follows a stream, which survives that its signature becomes stale and ends when the key is revoked', async () => {
    const { owner, key } = await makeSigned();
    const target = '/v1/events?channel=team';
    const headers = { accept: 'text/event-stream', ...signedHeaders(key, 'GET', target) };
    const stream = await fetch(daemon.url + target, { headers });
    expect(stream.status).toBe(200);
    const events = readEvents(stream);
    const next = async () => {
      for await (const event of { [Symbol.asyncIterator]: () => events, return: undefined }) if (event.event) return event;
      return undefined;
    };
    const dates = jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 3_600_000);
    // any change of authority makes the daemon check its streams at once
    const spare = await call('POST', '/auth/api-keys', {
      token: owner.token,
      body: { name: 'spare', role: 'reader', scopes: ['read'] },
    });
    dates.mockRestore();
    await call('DELETE', `/auth/api-keys/${spare.body.key_id}`, { token: owner.token });
    await call('POST', '/v1/events', { token: owner.token, body: JSON.parse(EVENT) });
    expect(await next()).toMatchObject({ event: 'message' });
    await call('DELETE', `/auth/api-keys/${key.key_id}`, { token: owner.token });
    expect(await next()).toBeUndefined();
  });

  test('is refused on every daemon at once after its revocation, and after its maker was disabled', async () => {
    const { owner, key } = await makeSigned();
    expect((await sendSigned(other.url, key, 'GET', '/v1/usage')).status).toBe(200);
    await call('DELETE', `/auth/api-keys/${key.key_id}`, { token: owner.token });
    for (const { url } of [daemon, other]) expect((await sendSigned(url, key, 'GET', '/v1/usage')).status).toBe(401);
    const admin = await makeUser(call, owner, 'admin', 'ada');
    const body = { name: 'k', role: 'member', scopes: ['read'], signed: true };
    const theirs = (await call('POST', '/auth/api-keys', { token: admin.token, body })).body;
    expect((await sendSigned(other.url, theirs, 'GET', '/v1/usage')).status).toBe(200);
    await call('PATCH', `/auth/users/${admin.user.user_id}`, { token: owner.token, body: { disabled: true } });
    for (const { url } of [daemon, other]) expect((await sendSigned(url, theirs, 'GET', '/v1/usage')).status).toBe(401);
  });

  test('imports a file; a file that was altered leaves the tenant empty', async () => {
    const source = await makeSigned();
    await sendSigned(daemon.url, source.key, 'POST', '/v1/events', { body: EVENT });
    const file: string = (await sendSigned(daemon.url, source.key, 'GET', '/v1/export')).body;
    const { key } = await makeSigned();
    const headers = { 'content-type': 'application/x-ndjson' };
    const signed = { ...signedHeaders(key, 'POST', '/v1/import', { body: file }), ...headers };
    const altered = file.replace('signed words', 'forged words');
    expect(altered).not.toBe(file);
    expect((await sendRaw(daemon.url, 'POST', '/v1/import', signed, [altered])).status).not.toBe(202);
    // a correct file that is not the signed one
    const resigned = signedHeaders(key, 'POST', '/v1/import', { body: altered });
    expect(outcome(await sendRaw(daemon.url, 'POST', '/v1/import', { ...resigned, ...headers }, [file]))).toEqual([
      401,
      'altered',
    ]);
    const events = await sendSigned(daemon.url, key, 'GET', '/v1/events?channel=team');
    expect(events.body.data).toEqual([]);
    expect((await sendSigned(daemon.url, key, 'POST', '/v1/import', { body: file, headers })).status).toBe(202);
  });
});

describe('a request of a signed key returns 401 that says', () => {
  let key: SignedKey;
  let owner: { tenant_id: string; token: string };
  beforeAll(async () => {
    ({ key, owner } = await makeSigned());
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
    const foreign = (await makeSigned()).key;
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

testOnServer('two daemons share its database')(
  'without ENCRYPTION_KEY, or with another one, the problem says so; ENCRYPTION_KEY_PREVIOUS keeps signed keys working',
  async () => {
    const { owner, key } = await makeSigned();
    const before = Buffer.alloc(32, 'only-for-tests').toString('base64');
    const statusWith = async (settings: Record<string, string>, signing: SignedKey) => {
      const restarted = await startTestDaemon(settings, daemon.env);
      const made = await clientOf(restarted.url)('POST', '/auth/api-keys', {
        token: owner.token,
        body: { name: 'k', role: 'member', scopes: ['read'], signed: true },
      });
      const { status } = await sendSigned(restarted.url, signing, 'GET', '/v1/usage');
      await restarted.stop();
      return [made.status, made.body.detail ?? '', status];
    };
    const rotated = { ENCRYPTION_KEY: randomBytes(32).toString('base64') };
    expect(await statusWith(rotated, key)).toEqual([201, '', 503]);
    expect(await statusWith({ ...rotated, ENCRYPTION_KEY_PREVIOUS: before }, key)).toEqual([201, '', 200]);
    const production = {
      NODE_ENV: 'production',
      BCRYPT_COST: '10',
      ENCRYPTION_KEY: '',
      AUDIT_KEY: randomBytes(32).toString('base64'),
    };
    expect(await statusWith(production, key)).toEqual([409, expect.stringContaining('ENCRYPTION_KEY'), 503]);
  },
);

testOnServer('it reads the tables directly')(
  'the secret is stored encrypted, a request without a valid signature stores no nonce, and stale nonces are deleted by later requests',
  async () => {
    const query = async <T extends object>(text: string, values: unknown[]) =>
      (await withClient({ ...serverConnection(), database: daemon.env.PGDATABASE! }, (client) => client.query<T>(text, values)))
        .rows;
    const { key } = await makeSigned();
    const [stored] = await query<{ row: string }>('select to_jsonb(k)::text as row from api_keys k where key_id = $1', [
      key.key_id,
    ]);
    expect(stored!.row).not.toContain(key.api_key.slice(-43));
    const noncesOf = async () => (await query('select nonce from request_nonces where key_id = $1', [key.key_id])).length;
    await sendSigned(daemon.url, key, 'GET', '/v1/usage', { headers: { 'content-digest': digestOf('other') } });
    await sendSigned(daemon.url, key, 'GET', '/v1/usage', { t: now() - 1000 });
    await sendSigned(daemon.url, key, 'DELETE', '/v1/tenant', { headers: { 'x-api-key': key.api_key } });
    expect(await noncesOf()).toBe(0);
    for (let i = 0; i < 3; i += 1) await sendSigned(daemon.url, key, 'GET', '/v1/usage');
    expect(await noncesOf()).toBe(3);
    await query(`update request_nonces set used_at = now() - interval '601 seconds' where key_id = $1`, [key.key_id]);
    await sendSigned(daemon.url, key, 'GET', '/v1/usage');
    expect(await noncesOf()).toBe(4);
    await query(`update request_nonces set used_at = now() - interval '661 seconds' where key_id = $1`, [key.key_id]);
    await sendSigned(daemon.url, key, 'GET', '/v1/usage');
    expect(await noncesOf()).toBe(3);
  },
);
