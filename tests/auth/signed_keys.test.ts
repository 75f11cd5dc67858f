import { randomBytes } from 'node:crypto';
import { withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { onEmbedded, serverConnection, testOnServer } from '../support/database.ts';
import { digestOf, type SignedKey, sendRaw, sendSigned, signedHeaders } from '../support/sign.ts';
import { readEvents } from '../support/sse.ts';
import { type Call, clientOf, makeSigned, makeUser } from './client.ts';

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

describe('a signed key', () => {
  test('writes, reads, searches and lists with signed requests on every daemon, and is listed as signed', async () => {
    const { owner, key } = await makeSigned(call);
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
    const { key } = await makeSigned(call);
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
    const { key } = await makeSigned(call);
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
    const { owner, key } = await makeSigned(call);
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
    const { owner, key } = await makeSigned(call);
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
    const source = await makeSigned(call);
    await sendSigned(daemon.url, source.key, 'POST', '/v1/events', { body: EVENT });
    const file: string = (await sendSigned(daemon.url, source.key, 'GET', '/v1/export')).body;
    const { key } = await makeSigned(call);
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

testOnServer('two daemons share its database')(
  'without ENCRYPTION_KEY, or with another one, the problem says so; ENCRYPTION_KEY_PREVIOUS keeps signed keys working',
  async () => {
    const { owner, key } = await makeSigned(call);
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
    const { key } = await makeSigned(call);
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

testOnServer('it calls a function directly')(
  'a daemon of the previous release finds keys that do not sign, and no signed key',
  async () => {
    const { owner, key } = await makeSigned(call);
    const body = { name: 'plain', role: 'reader', scopes: ['read'] };
    const plain = (await call('POST', '/auth/api-keys', { token: owner.token, body })).body;
    const text = `select k.name from api_keys k cross join lateral key_state(k.tenant_id, k.key_id, k.secret_hash) where k.key_id = any ($1)`;
    const { rows } = await withClient({ ...serverConnection(), database: daemon.env.PGDATABASE! }, (client) =>
      client.query(text, [[key.key_id, plain.key_id]]),
    );
    expect(rows).toEqual([{ name: 'plain' }]);
  },
);
