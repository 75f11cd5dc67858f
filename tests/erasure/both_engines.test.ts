import { message, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { erase, waitForJob } from './support.ts';

// Uses only HTTP, so it runs on both engines.

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

test('an erasure removes a person from the log, the search and the accounts, and keeps others; a policy blanks and trims', async () => {
  const owner = await newTenant(daemon.url);
  const carol = await newColleague(owner, 'carol');
  const record = (client: typeof owner, text: string) =>
    client.request('POST', '/v1/events', {
      body: message(text, { channel: 'team', actor: { type: 'human', id: client.username } }),
    });
  const hers = (await record(carol, 'sunflowers in the greenhouse')).body;
  await record(owner, 'tulips in the greenhouse');
  const foreseen = (await owner.request('POST', '/v1/erasures', { body: { user_id: 'carol', dry_run: true } })).body.counts;
  const { result } = await erase(owner, { user_id: 'carol' });
  expect(result.certificate.counts).toMatchObject(foreseen);
  expect(foreseen).toMatchObject({ events: 1, chunks: 1, users: 1, audit_entries: expect.any(Number) });
  const found = (await owner.request('POST', '/v1/search', { body: { query: 'greenhouse', channel: 'team' } })).body.data;
  expect(found.map(({ text }: { text: string }) => text)).toEqual(['tulips in the greenhouse']);
  expect((await owner.request('GET', `/v1/events/${hers.event_id}`)).body.content).toMatchObject({ erased: true });
  expect((await carol.request('GET', '/auth/me')).status).toBe(401);

  await owner.request('PUT', '/v1/retention', {
    body: { rules: [{ kind: 'message', older_than_days: 0 }], trim: { keep_events: 1 } },
  });
  const job = await waitForJob(owner, (await owner.request('POST', '/v1/retention/runs')).body.job_id);
  expect(job).toMatchObject({ state: 'done', result: { counts: { events: 1 } } });
  const { oldest_seq, last_seq } = (await owner.request('GET', '/v1/usage')).body;
  expect(last_seq - oldest_seq).toBeLessThan(2);
}, 60_000);
