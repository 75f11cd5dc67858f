import { newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { erase, waitForJob } from './support.ts';

/** `DRY_RUN_DECISIONS=9000 npx jest tests/erasure/dry_run` measures, and prints the durations to stderr. */
const DECISIONS = Number(process.env.DRY_RUN_DECISIONS ?? 1_000);

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

test('a dry run of thousands of memories returns the counts of the erasure, directly or through its job', async () => {
  const owner = await newTenant(daemon.url);
  for (let i = 0; i < DECISIONS; i += 500) {
    const events = Array.from({ length: 500 }, (_, j) => ({
      session_id: 's1',
      channel: 'team',
      actor: { type: 'agent', id: 'scribe' },
      agent_id: 'scribe',
      kind: 'decision',
      content: { decision: `number ${i + j}` },
    }));
    const { status } = await owner.request('POST', '/v1/events', { body: { events } });
    expect(status).toBe(201);
  }
  const began = performance.now();
  const previewed = await owner.request('POST', '/v1/erasures', { body: { agent_id: 'scribe', dry_run: true } });
  expect([200, 202]).toContain(previewed.status);
  const found = previewed.status === 200 ? previewed.body : (await waitForJob(owner, previewed.body.job_id, 120_000)).result;
  const middle = performance.now();
  expect(found.counts).toMatchObject({ events: DECISIONS, memories: DECISIONS, memory_versions: DECISIONS });
  // the erasure would wait for an unfinished dry run; it has left no marks
  const { result } = await erase(owner, { agent_id: 'scribe' });
  expect(result.certificate.counts).toMatchObject(found.counts);
  if (process.env.DRY_RUN_DECISIONS)
    process.stderr.write(
      `${previewed.status}: dry run ${Math.round(middle - began)} ms, erasure ${Math.round(performance.now() - middle)} ms\n`,
    );
}, 180_000);
