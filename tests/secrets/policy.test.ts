import { message, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

const secret = `q8Zr${'1kLm'}N0pT`;
const text = `password = ${secret}, said ann`;
const setMode = (secrets: object) => ({ body: { settings: { secrets } } });

test('by default a secret is redacted and counted, and the rest is stored, found and listed', async () => {
  const alice = await newTenant(daemon.url);
  const { body } = await alice.request('POST', '/v1/events', {
    body: message(text, { tags: [text], metadata: { apiKey: secret } }),
  });
  expect([body.sensitivity, body.redactions, body.chunk_ids.length]).toEqual(['none', 3, 1]);
  const kept = await alice.request('GET', `/v1/events/${body.event_id}`);
  expect([kept.body.sensitivity, kept.body.redactions]).toEqual(['none', 3]);
  const listed = (await alice.request('GET', '/v1/events')).body.data;
  expect(listed.map((event: { redactions: number }) => event.redactions)).toEqual([3]);
  const found = (await alice.request('POST', '/v1/search', { body: { query: 'said ann' } })).body.data;
  expect(found.map((hit: { text: string }) => hit.text.split('\n')[0])).toEqual(['password = [redacted:password], said ann']);
  expect(kept.body.content.text).toBe('password = [redacted:password], said ann');
  expect(kept.body.tags).toEqual(['password = [redacted:password], said ann']);
  expect(kept.body.metadata).toEqual({ apiKey: '[redacted:api-key]' });
});

test('a retry returns the redactions of the first attempt, and an event without any omits the field', async () => {
  const alice = await newTenant(daemon.url);
  const asked = { body: message(text), headers: { 'idempotency-key': 'once' } };
  const [first, again] = [await alice.request('POST', '/v1/events', asked), await alice.request('POST', '/v1/events', asked)];
  expect([first.body.redactions, again.body]).toEqual([1, first.body]);
  const upload = {
    body: Buffer.from(`${text} and ${text}`),
    headers: { 'content-type': 'text/plain', 'idempotency-key': 'file' },
  };
  const stored = await alice.request('POST', '/v1/artifacts', upload);
  expect([stored.body.redactions, (await alice.request('POST', '/v1/artifacts', upload)).body]).toEqual([2, stored.body]);
  const plain = await alice.request('POST', '/v1/events', { body: message('It says [redacted:password] here.') });
  expect(plain.body).not.toHaveProperty('redactions');
});

test('content declared secret is not stored, with or without a secret in it', async () => {
  const alice = await newTenant(daemon.url);
  const { body } = await alice.request('POST', '/v1/events', {
    body: message(text, { sensitivity: 'secret', metadata: { a: 'b' } }),
  });
  const kept = (await alice.request('GET', `/v1/events/${body.event_id}`)).body;
  expect([kept.content, kept.metadata, kept.chunk_ids, kept.sensitivity]).toEqual([
    { redacted: true, reason: 'declared secret' },
    {},
    [],
    'secret',
  ]);
});

test('with mode `refuse`, the answer names the pointer and kind of the secret, and nothing is stored', async () => {
  const alice = await newTenant(daemon.url);
  expect((await alice.request('PATCH', '/v1/tenant', setMode({ mode: 'refuse' }))).status).toBe(200);
  const { status, body } = await alice.request('POST', '/v1/events', { body: message(text) });
  expect(status).toBe(422);
  expect(body.errors).toEqual([{ pointer: '#/content/text', detail: 'must not contain a secret: password' }]);
  expect((await alice.request('GET', '/v1/events')).body.data).toEqual([]);
});

test('with mode `encrypt`, only admins and the subject can reveal a secret', async () => {
  const alice = await newTenant(daemon.url);
  await alice.request('PATCH', '/v1/tenant', setMode({ mode: 'encrypt' }));
  const changed = await alice.request('PATCH', '/v1/tenant', setMode({ personal_data: true }));
  expect(changed.body.settings.secrets).toEqual({ mode: 'encrypt', personal_data: true });
  const { body } = await alice.request('POST', '/v1/events', { body: message(text, { channel: 'team' }) });
  const kept = await alice.request('GET', `/v1/events/${body.event_id}`);
  expect(kept.body.content).toMatchObject({
    text: 'password = [redacted:password], said ann',
    sealed: { kid: expect.any(String) },
  });
  expect((await alice.request('POST', `/v1/events/${body.event_id}/reveal`)).body.content).toEqual({ text });
  const bob = await newColleague(alice);
  expect((await bob.request('POST', `/v1/events/${body.event_id}/reveal`)).status).toBe(403);
  const upload = await alice.request('POST', '/v1/artifacts', {
    body: Buffer.from(text),
    headers: { 'content-type': 'text/plain' },
  });
  expect((await alice.request('POST', `/v1/events/${upload.body.event_id}/reveal`)).body.content.text).toBe(text);
});
