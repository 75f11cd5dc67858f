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

test('by default a secret is cut out, and the event is kept as secret', async () => {
  const alice = await newTenant(daemon.url);
  const { body } = await alice.ask('POST', '/v1/events', { body: message(text, { tags: [text], metadata: { apiKey: secret } }) });
  expect(body.sensitivity).toBe('secret');
  const kept = await alice.ask('GET', `/v1/events/${body.event_id}`);
  expect(kept.body.content.text).toBe('password = [redacted:password], said ann');
  expect(kept.body.tags).toEqual(['password = [redacted:password], said ann']);
  expect(kept.body.metadata).toEqual({ apiKey: '[redacted:api-key]' });
});

test('where the tenant refuses secrets, the place and the kind are told, and nothing is stored', async () => {
  const alice = await newTenant(daemon.url);
  expect((await alice.ask('PATCH', '/v1/tenant', setMode({ mode: 'refuse' }))).status).toBe(200);
  const { status, body } = await alice.ask('POST', '/v1/events', { body: message(text) });
  expect(status).toBe(422);
  expect(body.errors).toEqual([{ pointer: '#/content/text', detail: 'holds a secret: password' }]);
  expect((await alice.ask('GET', '/v1/events')).body.data).toEqual([]);
});

test('kept encrypted, a secret is revealed to an admin and its own subject, and to nobody else', async () => {
  const alice = await newTenant(daemon.url);
  await alice.ask('PATCH', '/v1/tenant', setMode({ mode: 'encrypt' }));
  const changed = await alice.ask('PATCH', '/v1/tenant', setMode({ personal_data: true }));
  expect(changed.body.settings.secrets).toEqual({ mode: 'encrypt', personal_data: true });
  const { body } = await alice.ask('POST', '/v1/events', { body: message(text, { channel: 'team' }) });
  const kept = await alice.ask('GET', `/v1/events/${body.event_id}`);
  expect(kept.body.content).toMatchObject({
    text: 'password = [redacted:password], said ann',
    sealed: { kid: expect.any(String) },
  });
  expect((await alice.ask('POST', `/v1/events/${body.event_id}/reveal`)).body.content).toEqual({ text });
  const bob = await newColleague(alice);
  expect((await bob.ask('POST', `/v1/events/${body.event_id}/reveal`)).status).toBe(403);
  const upload = await alice.ask('POST', '/v1/artifacts', { body: Buffer.from(text), headers: { 'content-type': 'text/plain' } });
  expect((await alice.ask('POST', `/v1/events/${upload.body.event_id}/reveal`)).body.content.text).toBe(text);
});
