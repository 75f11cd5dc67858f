import { loadConfig } from '../../src/config.ts';
import { openDatabase } from '../../src/db/index.ts';
import { createLogger } from '../../src/log.ts';
import { message, newTenant } from '../support/client.ts';
import { recordAll, remember } from '../support/context.ts';
import { freePort, startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { daemonDatabase } from '../support/database.ts';

// A11: rebuild. The rows are deleted while no daemon runs, because the embedded engine accepts one connection.

let database: Awaited<ReturnType<typeof daemonDatabase>>;
let daemon: TestDaemon;
let start: () => Promise<TestDaemon>;
beforeAll(async () => {
  database = await daemonDatabase();
  const PORT = String(await freePort());
  start = () => startTestDaemon({ PORT }, database.env);
  daemon = await start();
});
afterAll(async () => {
  await daemon.stop();
  await database.release();
});

/** Deletes all passages and leaves the log unchanged, as a rebuild leaves it that was stopped at its beginning. */
async function stopRebuild(tenant_id: string): Promise<void> {
  const opened = await openDatabase(loadConfig({ ...database.env, NODE_ENV: 'test' }), createLogger('silent'));
  try {
    const tenant = opened.tenants(tenant_id);
    await tenant.write(async (db) => {
      await db.run('delete from chunks where tenant_id = $1', [tenant_id]);
      await db.run('select begin_rebuild($1)', [tenant_id]);
    });
  } finally {
    await opened.close();
  }
}

test('A11 a rebuild restores identical results after all passages were deleted, and answers have partial_index meanwhile', async () => {
  const alice = await newTenant(daemon.url);
  const whole = `${'a line of the log\n'.repeat(6000)}the last line names a heron`;
  const decide = (content: Record<string, unknown>) => ({ ...message(''), kind: 'decision', content });
  const task = (status: string) => ({
    ...message(''),
    kind: 'task_update',
    content: { task_id: 'T', title: 'count the otters', status },
  });
  await recordAll(
    alice,
    ...Array.from({ length: 700 }, (_, i) =>
      message(`note ${i} about ${['herons', 'otters', 'code()'][i % 3]}`, { tags: [`t:${i % 5}`] }),
    ),
    { ...message(''), kind: 'tool_result', content: { tool: 'tail', excerpt_text: whole } },
    decide({ zeta: 'otter', decision: 'keep the heron', rationale: ['it is tall'] }),
    task('open'),
    task('doing'),
  );
  // the rebuild also restores until when passages were current and when they are valid
  const [old] = await recordAll(alice, decide({ decision: 'sell the heron, line by line' }));
  await recordAll(alice, decide({ decision: 'the heron is not for sale', supersedes: old!.event_id }));
  const fact = await remember(alice, { kind: 'fact', text: 'The heron of line 7 is grey', refs: [old!.event_id] });
  await alice.request('PATCH', `/v1/memories/${fact.memory_id}`, { body: { text: 'The heron of line 7 is white' } });
  await remember(alice, {
    kind: 'fact',
    text: 'The otter of note 7 was young',
    valid_to: '2020-01-01T00:00:00Z',
    refs: [old!.event_id],
  });
  const gone = await remember(alice, { kind: 'note', text: 'The otter of note 7 is lost', refs: [old!.event_id] });
  await alice.request('DELETE', `/v1/memories/${gone.memory_id}`);

  const request = async (more: Record<string, unknown> = {}) => {
    const body = { query: 'which heron or otter, line or note 7, for sale?', limit: 200, explain: true, ...more };
    return (await alice.request('POST', '/v1/search', { body })).body;
  };
  const then = { as_of_seq: old!.seq };
  const [before, beforeThen] = [await request(), await request(then)];
  expect(before.data).toHaveLength(200);
  const texts = before.data.map(({ text }: { text: string }) => text).join('\n');
  expect(texts).toContain('heron of line 7 is white');
  for (const ended of ['sell the heron', 'is grey', 'was young', 'is lost']) expect(texts).not.toContain(ended);
  expect(beforeThen.data.map(({ text }: { text: string }) => text).join('\n')).toContain('sell the heron');

  await daemon.stop();
  await stopRebuild(alice.tenant_id);
  daemon = await start();
  expect(await request()).toMatchObject({ data: [], degraded: ['partial_index'] });
  const { body: begun } = await alice.request('POST', '/v1/consistency/repair');
  let job = begun;
  while (!['done', 'failed'].includes(job.state)) {
    // an answer without `partial_index` is complete
    const answer = await request();
    if (!answer.degraded.includes('partial_index')) expect(answer).toEqual({ ...before, degraded: [] });
    job = (await alice.request('GET', `/v1/jobs/${begun.job_id}`)).body;
  }
  expect(job.result).toMatchObject({ repaired: ['passages'], remaining: [] });
  expect(await request()).toEqual({ ...before, degraded: [] });
  expect(await request(then)).toEqual({ ...beforeThen, degraded: [] });
}, 120_000);
