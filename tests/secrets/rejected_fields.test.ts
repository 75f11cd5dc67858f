import { type Client, message, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// Ids and filters cannot be redacted: a request with a secret in one of them is rejected, and nothing is stored.

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

const token = `ghp_a8Fk3LmQ9zXw2Vb7${'Nc5Rt1Yp6Hd4Sg0Jk2Wq'}`;
const url = 'https://hooks.example.com/in';
const upload = (type: string) =>
  alice.request('POST', '/v1/artifacts', { body: Buffer.from('x'), headers: { 'content-type': type } });

test.each([
  ['a value of a filter', { filter: { 'metadata.owner': { in: ['a', token] } } }, '#/filter/metadata.owner/in/1'],
  ['a filter by a password', { filter: { 'metadata.password': { eq: `q8Zr${'1kLm'}N0pT` } } }, '#/filter/metadata.password/eq'],
  ['the query of its URL', { url: `${url}?sign=${token}` }, '#/url'],
  ['a named value in its URL', { url: `${url}?api_key=q8Zr${'1kLmN0pTx7Vb2'}` }, '#/url'],
  ['a subject', { user_ids: ['bob', token] }, '#/user_ids/1'],
])('creating or changing a webhook with a secret in %s returns 422', async (_, body, pointer) => {
  const { webhook_id } = (await alice.request('POST', '/v1/webhooks', { body: { url } })).body;
  const answers = [
    await alice.request('POST', '/v1/webhooks', { body: { url, ...body } }),
    await alice.request('PATCH', `/v1/webhooks/${webhook_id}`, { body }),
  ];
  expect(answers.map((answer) => [answer.status, answer.body.errors?.[0].pointer])).toEqual([
    [422, pointer],
    [422, pointer],
  ]);
  expect(JSON.stringify((await alice.request('GET', '/v1/webhooks')).body)).not.toMatch(/ghp_|q8Zr/);
  expect((await alice.request('DELETE', `/v1/webhooks/${webhook_id}`)).status).toBe(204);
});

test('harmless values are accepted: an email address, a redaction mark, a field whose name announces a secret', async () => {
  const filter = {
    'metadata.owner': 'ann@example.com',
    'metadata.apiKey': '[redacted:api-key]',
    'metadata.token': { exists: true },
  };
  const made = await alice.request('POST', '/v1/webhooks', {
    body: { url: `${url}?room=7`, filter, user_ids: ['ann@example.com'] },
  });
  expect([made.status, made.body.filter]).toEqual([201, filter]);
});

test('an API key for a subject that is a secret returns 422', async () => {
  const body = { name: token, role: 'member', scopes: ['read'] };
  const refused = await alice.request('POST', '/auth/api-keys', { body: { ...body, user_id: token } });
  expect([refused.status, refused.body.errors]).toEqual([
    422,
    [{ pointer: '#/user_id', detail: 'must not contain a secret: github-token' }],
  ]);
  const made = await alice.request('POST', '/auth/api-keys', { body: { ...body, user_id: 'planner@example.com' } });
  expect([made.status, made.body.name, made.body.user_id]).toEqual([201, '[redacted:github-token]', 'planner@example.com']);
  expect(JSON.stringify((await alice.request('GET', '/v1/audit')).body)).not.toContain(token);
});

test('only a known charset of a media type is stored; a media type that is a secret returns 422', async () => {
  const kept = await upload(`text/plain; note=${token}; charset=UTF-8`);
  expect([kept.status, kept.body.media_type]).toEqual([201, 'text/plain; charset=utf-8']);
  const event = await alice.request('GET', `/v1/events/${kept.body.event_id}`);
  const bytes = await alice.request('GET', `/v1/artifacts/${kept.body.artifact_id}`);
  expect([event.body.content.media_type, bytes.headers.get('content-type')]).toEqual(Array(2).fill('text/plain; charset=utf-8'));
  expect((await upload(`text/plain; charset=${token}`)).body.media_type).toBe('text/plain');
  const refused = await upload(`image/${token}`);
  expect([refused.status, refused.body.errors?.[0].pointer]).toEqual([422, '#/Content-Type']);
  expect((await alice.request('POST', '/v1/events', { body: message('on we go') })).status).toBe(201);
});

test.each([
  ['a username', { username: token }, '#/username'],
  ['an email address', { email: `${token}@example.com` }, '#/email'],
  ['a tenant id', { tenant_id: `t-${`xo${'xb'}`}-284719305562-${'a8fk3lmq9zxw2vb7nc5rt1yp'}` }, '#/tenant_id'],
])('a registration with a secret in %s returns 422, and the answer does not repeat it', async (_, given, pointer) => {
  const body = {
    username: 'carol',
    password: 'a long enough phrase 7',
    tenant_id: `t-${Math.random().toString(36).slice(2)}`,
    ...given,
  };
  const response = await fetch(`${daemon.url}/auth/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const answer = await response.text();
  expect([response.status, JSON.parse(answer).errors?.[0].pointer]).toEqual([422, pointer]);
  expect(answer).not.toMatch(/ghp_|xoxb/);
});

test('an invite for a username that is a secret returns 422', async () => {
  const refused = await alice.request('POST', '/auth/invites', { body: { role: 'member', username: token } });
  expect([refused.status, refused.body.errors?.[0].pointer]).toEqual([422, '#/username']);
});

test('a request id that is a secret is replaced, any other is kept', async () => {
  const asked = async (id: string) =>
    (await fetch(`${daemon.url}/health/live`, { headers: { 'x-request-id': id } })).headers.get('x-request-id');
  expect([await asked('build-7f3a:12'), (await asked(token)) === token]).toEqual(['build-7f3a:12', false]);
});
