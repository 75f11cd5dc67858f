import { type Client, newTenant, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';

// Faults of single fields and of combinations of fields are reported together.

let daemon: TestDaemon;
let alice: Client;
beforeAll(async () => {
  daemon = await startTestDaemon();
  alice = await newTenant(daemon.url);
});
afterAll(() => daemon.stop());

const faultsOf = async (path: string, body: unknown): Promise<string[]> => {
  const answer = await send<any>(daemon.url, 'POST', path, { body }, alice.token);
  expect(answer.status).toBe(422);
  return answer.body.errors.map(({ pointer, detail }: any) => `${pointer} ${detail}`).sort();
};

const backwards = { valid_from: '2026-01-02T00:00:00Z', valid_to: '2026-01-01T00:00:00Z' };

test.each([
  [
    '/v1/memories',
    { text: 'x', importance: 5, scope: 'project', sensitivity: 'secret', expires_at: '2020-01-01T00:00:00Z', ...backwards },
    [
      '#/expires_at must be after valid_from',
      '#/importance must be at most 1',
      '#/project_id required with the scope "project"',
      '#/sensitivity must not be "secret": the content of secret items is not stored',
      '#/valid_to must be after valid_from',
    ],
  ],
  [
    '/v1/memories',
    {
      memories: [
        { text: 'x', scope: 'session' },
        { text: 'y', ...backwards },
        { text: 'z', kind: 'fakt' },
      ],
    },
    [
      '#/memories/0/session_id required with the scope "session"',
      '#/memories/1/valid_to must be after valid_from',
      expect.stringMatching(/^#\/memories\/2\/kind must be one of /),
    ],
  ],
  [
    '/v1/memories',
    { kind: 'note', text: 'x', expires_at: '2020-01-01T00:00:00Z', valid_to: 'noon' },
    ['#/expires_at must be in the future', expect.stringMatching(/^#\/valid_to must be an RFC 3339 time/)],
  ],
  [
    '/v1/events',
    { text: 'x', content: { text: 'y' }, channel: 'tean' },
    [expect.stringMatching(/^#\/channel must be one of /), '#/text must not be combined with content.text'],
  ],
  [
    '/v1/search',
    { query: 'x', query_text: 'y', limit: 'z' },
    ['#/limit must be a number', '#/query_text must not be combined with query'],
  ],
  [
    '/v1/erasures',
    { session_id: 'x', keep_shared: true, dry_run: 'y' },
    ['#/dry_run must be a boolean', '#/keep_shared must not be set without user_id'],
  ],
  [
    '/v1/webhooks',
    { url: 'x', channels: ['y'] },
    [expect.stringMatching(/^#\/channels\/0 must be one of /), '#/url must be an absolute URL'],
  ],
  [
    '/auth/register',
    { username: 'x', password: 'short', tenant_id: 'A B' },
    ['#/password must have at least 10 characters', expect.stringMatching(/^#\/tenant_id must be /)],
  ],
])('POST %s with %j reports all faults at once', async (path, body, faults) => {
  expect(await faultsOf(path, body)).toEqual(faults);
});
