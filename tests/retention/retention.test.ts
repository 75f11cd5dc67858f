import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig } from '../../src/config.ts';
import { type Database, openDatabase } from '../../src/db/index.ts';
import type { Tenant } from '../../src/db/tenant.ts';
import { kinds } from '../../src/events/schemas.ts';
import { newId } from '../../src/id.ts';
import { type Job, openJobs } from '../../src/jobs/index.ts';
import { createLogger } from '../../src/log.ts';
import { memoryKinds } from '../../src/memories/schemas.ts';
import { registry } from '../../src/registry.ts';
import { retentionHandler, sweepRetention } from '../../src/retention/run.ts';
import { type Cursor, retainStep } from '../../src/retention/sql.ts';
import { dumpOf, makeMemory, memoryRow, waitForJob } from '../erasure/support.ts';
import { failedChecks } from '../export/file.ts';
import { type Client, message, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { daemonDatabase, describeOnServer } from '../support/database.ts';

// Backdates recorded events, for which the tests need a second connection.
const onServer = (name: string, tests: () => void) =>
  describeOnServer('a test cannot open a second connection', () => describe(name, tests));

onServer('retention', () => {
  let testDatabase: Awaited<ReturnType<typeof daemonDatabase>>;
  let daemon: TestDaemon;
  let database: Database;
  beforeAll(async () => {
    testDatabase = await daemonDatabase();
    daemon = await startTestDaemon(
      { LOG_LEVEL: 'error', WEBHOOK_ALLOW_PRIVATE: 'true', WEBHOOK_RETRY_MS: '60000' },
      testDatabase.env,
    );
    database = await openDatabase(loadConfig({ ...testDatabase.env, NODE_ENV: 'test' }), createLogger('silent'));
  });
  afterAll(async () => {
    await database.close();
    await daemon.stop();
    await testDatabase.release();
  });

  test('rules accept every kind of event and memory', () => {
    const src = join(import.meta.dirname, '../../src');
    const code = readdirSync(src, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => readFileSync(join(src, name), 'utf8'))
      .join('');
    const ofService = [...code.matchAll(/\bkind: '([a-z]+\.[a-z_]+)'/g)].map(([, kind]) => kind!);
    expect(ofService).toContain('retention.forgot');
    expect([...kinds, ...memoryKinds, ...ofService].filter((kind) => !registry.kinds.includes(kind))).toEqual([]);
  });

  const team = (text: string, more: Record<string, unknown> = {}) => message(text, { channel: 'team', ...more });
  async function record(client: Client, ...events: unknown[]) {
    const answer = await client.request('POST', '/v1/events', { body: { events } });
    if (answer.status !== 201) throw new Error(JSON.stringify(answer.body));
    return answer.body.data as Record<string, any>[];
  }
  const result = (text: string) => ({
    ...team(''),
    actor: { type: 'tool', id: 'sh' },
    kind: 'tool_result',
    content: { tool: 'sh', excerpt_text: text },
  });
  const run = async (client: Client) => waitForJob(client, (await client.request('POST', '/v1/retention/runs')).body.job_id);
  const contentOf = async (client: Client, id: string) => (await client.request('GET', `/v1/events/${id}`)).body.content;

  test('a policy is read, set with If-Match, and rejected with 422 if it is invalid', async () => {
    const owner = await newTenant(daemon.url);
    expect((await owner.request('GET', '/v1/retention')).body).toMatchObject({ rules: [], trim: null, version: 0 });
    const rules = [{ kind: 'tool_result', older_than_days: 30, max_importance: 0.5 }];
    const set = await owner.request('PUT', '/v1/retention', { body: { rules, trim: { keep_days: 365 } } });
    expect([set.body.rules, set.body.trim, set.headers.get('etag')]).toEqual([rules, { keep_days: 365 }, '"1"']);
    const put = async (body: unknown, headers = {}) => (await owner.request('PUT', '/v1/retention', { body, headers })).status;
    expect(await put({ rules: [] }, { 'if-match': '"7"' })).toBe(412);
    expect(await put({ rules: [{ kind: 'note' }] })).toBe(422);
    const misspelt = await owner.request('PUT', '/v1/retention', {
      body: { rules: [{ kind: 'tool_reslut', older_than_days: 30 }] },
    });
    expect([misspelt.status, misspelt.body.errors]).toEqual([
      422,
      [{ pointer: '#/rules/0/kind', detail: expect.stringContaining('tool_result') }],
    ]);
    expect(await put({ rules: [], trim: { keep_days: 1, keep_events: 1 } })).toBe(422);
    expect(await put({ rules: [], trim: {} })).toBe(422);
    expect(await put({ rules: [] }, { 'if-match': '"1"' })).toBe(200);
  });

  test('matching events are blanked as the preview announced; other events and pinned memories are kept', async () => {
    const owner = await newTenant(daemon.url);
    const tenant = database.tenants(owner.tenant_id);
    const [old, cited, said] = await record(owner, result('old output'), result('cited output'), team('a word'));
    const pinned = await makeMemory(tenant, { text: 'the build is slow', user_id: 'alice', refs: [cited!.chunk_ids[0]] });
    await tenant.write((db) => db.run('update memories set pinned = true where memory_id = $1', [pinned.memory_id]));
    const rules = [{ kind: 'tool_result', older_than_days: 0 }];
    const preview = (await owner.request('POST', '/v1/retention/preview', { body: { rules } })).body;
    expect([preview.oldest, preview.newest]).toEqual([expect.stringMatching(/Z$/), expect.stringMatching(/Z$/)]);
    expect(preview).toMatchObject({
      events: 1,
      by_kind: { tool_result: 1 },
      sample: [old!.event_id],
      memories: 0,
      trimmed: 0,
      oldest_seq: 1,
    });
    expect(await contentOf(owner, old!.event_id)).toMatchObject({ excerpt_text: 'old output' });

    await owner.request('PUT', '/v1/retention', { body: { rules } });
    const job = await run(owner);
    expect(job).toMatchObject({ kind: 'retention', state: 'done', result: { counts: { events: 1, chunks: 1 }, oldest_seq: 1 } });
    expect(await contentOf(owner, old!.event_id)).toEqual({ erased: true, retention: true });
    expect(await contentOf(owner, cited!.event_id)).toMatchObject({ excerpt_text: 'cited output' });
    expect(await contentOf(owner, said!.event_id)).toEqual({ text: 'a word' });
    expect(await dumpOf(tenant)).not.toContain('old output');
    const log = (await owner.request('GET', '/v1/events?channel=team&limit=100')).body.data;
    expect(log.filter((event: { kind: string }) => event.kind === 'retention.forgot').map(({ content }: any) => content)).toEqual(
      [{ counts: expect.objectContaining({ events: 1 }), first_seq: 1, last_seq: 1, rules }],
    );
    expect(log.map(({ seq }: { seq: number }) => seq).sort((a: number, b: number) => a - b)).toEqual(
      log.map((_: unknown, i: number) => i + 1),
    );
  }, 30_000);

  test('a current memory is kept unless a rule has max_importance; then it expires', async () => {
    const owner = await newTenant(daemon.url);
    const tenant = database.tenants(owner.tenant_id);
    const fact = await makeMemory(tenant, { text: 'tea is at four', user_id: 'alice', refs: ['x'] });
    await owner.request('PUT', '/v1/retention', { body: { rules: [{ older_than_days: 0 }] } });
    expect((await run(owner)).result.counts.events ?? 0).toBe(0);
    await owner.request('PUT', '/v1/retention', { body: { rules: [{ kind: 'fact', older_than_days: 0, max_importance: 0.4 }] } });
    expect((await run(owner)).result.counts.events ?? 0).toBe(0);
    await owner.request('PUT', '/v1/retention', { body: { rules: [{ kind: 'fact', older_than_days: 0, max_importance: 0.5 }] } });
    expect((await run(owner)).result.counts).toMatchObject({ events: 1, memories: 1 });
    expect(await memoryRow(tenant, fact.memory_id)).toMatchObject({ status: 'expired', content: { erased: true } });
    expect(await dumpOf(tenant)).not.toContain('tea is at four');
  }, 30_000);

  test('trim drops the beginning and carries needed events; a request for a dropped seq returns 410 with the beginning of the log', async () => {
    const owner = await newTenant(daemon.url);
    const tenant = database.tenants(owner.tenant_id);
    await record(owner, ...Array.from({ length: 30 }, (_, i) => team(`early ${i}`)));
    await owner.request('POST', '/v1/artifacts?channel=team', { body: 'early bytes', headers: { 'content-type': 'text/plain' } });
    const held = await makeMemory(tenant, { text: 'still true', user_id: 'alice', refs: ['x'] });
    await record(owner, ...Array.from({ length: 30 }, (_, i) => team(`late ${i}`)));
    const before = (await owner.request('GET', '/v1/usage')).body;
    const body = { rules: [], trim: { keep_events: 10 } };
    const oldest_seq = before.last_seq - 9;
    const foreseen = (await owner.request('POST', '/v1/retention/preview', { body })).body;
    expect(foreseen).toMatchObject({ trimmed: oldest_seq - 2, carried: 1, oldest_seq, held_by: null });
    await owner.request('PUT', '/v1/retention', { body });
    const { result } = await run(owner);
    expect(result).toEqual({ counts: { trimmed: oldest_seq - 2, carried: 1 }, oldest_seq });
    const after = (await owner.request('GET', '/v1/usage')).body;
    expect([after.oldest_seq, after.last_seq, after.events]).toEqual([oldest_seq, before.last_seq, 11]);
    expect(after.bytes).toBeLessThan(before.bytes);
    expect(await memoryRow(tenant, held.memory_id)).toMatchObject({ status: 'active', passages: 1 });
    expect(await dumpOf(tenant)).not.toMatch(/early/);
    const asked = async (query: string, headers = {}) => {
      const answer = await owner.request('GET', `/v1/events?channel=team&${query}`, { headers });
      return [answer.status, answer.body.oldest_seq];
    };
    expect(await asked('after=5')).toEqual([410, oldest_seq]);
    expect(await asked('after=32')).toEqual([410, oldest_seq]);
    expect(await asked('after=5', { accept: 'text/event-stream' })).toEqual([410, oldest_seq]);
    const log = (await owner.request('GET', `/v1/events?channel=team&order=asc`)).body.data;
    expect([log.length, log[0].seq]).toEqual([10, oldest_seq]);
  }, 30_000);

  test('items that are written during a trim keep what they need, wherever the run is interrupted', async () => {
    const owner = await newTenant(daemon.url);
    const tenant = database.tenants(owner.tenant_id);
    const early = await record(owner, ...Array.from({ length: 40 }, (_, i) => team(`early ${i}`)));
    const input = { rules: [], trim: { keep_events: 3 } };
    const id = newId('job');
    await tenant.write((db) =>
      db.run(
        `insert into jobs (tenant_id, job_id, kind, state, input, started_by, due_at, created_at, updated_at)
         values ($1, $2, 'retention', 'running', $3, 'policy', now() + interval '1 hour', now(), now())`,
        [tenant.id, id, JSON.stringify(input)],
      ),
    );
    const job = { tenant, id, token: 0, lease_ms: 3_600_000, input } as Job<typeof input>;
    const facts: string[] = [];
    let cursor: Cursor | null = { phase: 'pins', after: '', now: new Date().toISOString(), counts: {} };
    for (let steps = 0; cursor && cursor.phase !== 'over'; steps += 1) {
      // continues as another daemon after a crash
      if (steps > 0)
        cursor = (await tenant.read((db) => db.row<{ cursor: Cursor }>('select cursor from jobs where job_id = $1', [id])))!
          .cursor;
      const body = { kind: 'summary', channel: 'team', text: `summary ${steps}`, refs: [early[39 - (steps % 40)]!.event_id] };
      const made = await owner.request('POST', '/v1/memories', { body });
      if (made.status === 201) facts.push(made.body.memory_id);
      cursor = await retainStep(job, cursor, 7, null);
    }
    expect(facts.length).toBeGreaterThan(8);
    for (const memory_id of facts)
      expect((await owner.request('GET', `/v1/memories/${memory_id}`)).body).toMatchObject({ grounded: true, stated: true });
    const { trimmed, carried } = cursor!.counts;
    const { events, oldest_seq, last_seq } = (await owner.request('GET', '/v1/usage')).body;
    expect([trimmed! + events, events]).toEqual([last_seq, last_seq - oldest_seq + 1 + carried!]);
    await tenant.write((db) => db.run('delete from jobs where job_id = $1', [id]));
    expect(await failedChecks(owner)).toEqual([]);
  }, 30_000);

  test('trim keeps the events that a webhook has yet to deliver, for at most a week', async () => {
    const owner = await newTenant(daemon.url);
    const tenant = database.tenants(owner.tenant_id);
    await record(owner, ...Array.from({ length: 4 }, (_, i) => team(`before ${i}`)));
    // nothing listens on this port
    const hook = await owner.request('POST', '/v1/webhooks', { body: { url: 'http://127.0.0.1:1024/x' } });
    expect(hook.status).toBe(201);
    await record(owner, ...Array.from({ length: 8 }, (_, i) => team(`untold ${i}`)));
    const body = { rules: [], trim: { keep_events: 2 } };
    await owner.request('PUT', '/v1/retention', { body });
    const { last_seq } = (await owner.request('GET', '/v1/usage')).body;
    const first = (await owner.request('GET', '/v1/events?order=asc&channel=team&limit=200')).body.data.find(
      ({ content }: { content: { text?: string } }) => content.text === 'untold 0',
    ).seq;
    expect((await run(owner)).result.oldest_seq).toBeLessThanOrEqual(first);
    const boundIn = (days: number) =>
      tenant.read((db) =>
        db.row(`select trim_bound($1, $2, now() + interval '1 day' * $3::int) as bound`, [
          tenant.id,
          JSON.stringify(body.trim),
          days,
        ]),
      );
    expect(await boundIn(6)).toEqual({ bound: first - 1 });
    expect(await boundIn(8)).toEqual({ bound: last_seq - 2 });
    await owner.request('DELETE', `/v1/webhooks/${hook.body.webhook_id}`);
    expect((await run(owner)).result.oldest_seq).toBeGreaterThan(first);
  }, 30_000);

  test('a preview that takes longer than a request becomes a job with the same result', async () => {
    const owner = await newTenant(daemon.url);
    const tenant = database.tenants(owner.tenant_id);
    await record(owner, result('one'), team('two'));
    // two running jobs of the tenant make a third one wait
    const hold = `insert into jobs (tenant_id, job_id, kind, state, input, started_by, due_at, created_at, updated_at)
      select $1, 'job_held' || i, 'consistency', 'running', '{}', 'x', now() + interval '1 hour', now(), now() from generate_series(1, 2) i`;
    await tenant.write((db) => db.run(hold, [owner.tenant_id]));
    const body = { rules: [{ kind: 'tool_result', older_than_days: 0 }] };
    const asked = await owner.request('POST', '/v1/retention/preview', { body });
    expect([asked.status, asked.body]).toEqual([202, { job_id: expect.any(String) }]);
    await tenant.write((db) => db.run(`delete from jobs where tenant_id = $1 and started_by = 'x'`, [owner.tenant_id]));
    const job = await waitForJob(owner, asked.body.job_id);
    expect(job).toMatchObject({ kind: 'retention_preview', state: 'done' });
    const again = await owner.request('POST', '/v1/retention/preview', { body });
    expect([again.status, again.body]).toEqual([200, job.result]);
    expect(job.result).toMatchObject({ events: 1, by_kind: { tool_result: 1 }, held_by: null });
    expect(await dumpOf(tenant)).not.toContain('"what":"event"');
  });

  test('the sweep starts a run once a day', async () => {
    const owner = await newTenant(daemon.url);
    const tenant: Tenant = database.tenants(owner.tenant_id);
    const jobs = openJobs(database.tenants, createLogger('silent'), { lease_ms: 5000, parallel: 1 });
    jobs.run({ retention: retentionHandler({ record: async () => undefined, count: () => undefined }) });
    const runs = async () => (await owner.request('GET', '/v1/jobs?kind=retention')).body.data.length;
    const sweep = sweepRetention(jobs);
    await sweep(tenant, 1);
    expect(await runs()).toBe(0);
    await owner.request('PUT', '/v1/retention', { body: { rules: [] } });
    await Promise.all([sweep(tenant, 1), sweep(tenant, 1)]);
    expect(await runs()).toBe(1);
    await tenant.write((db) => db.run(`update retention_policies set last_run_at = now() - interval '25 hours'`));
    await sweep(tenant, 1);
    expect(await runs()).toBe(2);
    await jobs.stop();
  }, 30_000);
});
