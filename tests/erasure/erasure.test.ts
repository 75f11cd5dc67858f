import { execFileSync } from 'node:child_process';
import { hash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../src/config.ts';
import { type Database, openDatabase } from '../../src/db/index.ts';
import type { Tenant } from '../../src/db/tenant.ts';
import { canonicalJson } from '../../src/http/json.ts';
import { createLogger } from '../../src/log.ts';
import { type Client, message, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { daemonDatabase, describeOnServer } from '../support/database.ts';
import { testEngine } from '../support/engine.ts';
import { dumpOf, erase, makeMemory, memoryRow } from './support.ts';

// Reads the tables through a second connection. On the embedded engine, which has one session, both_engines.test.ts covers erasures.
const onServer = (name: string, tests: () => void) =>
  describeOnServer('a test cannot open a second connection', () => describe(name, tests));

onServer('an erasure', () => {
  let testDatabase: Awaited<ReturnType<typeof daemonDatabase>>;
  let daemon: TestDaemon;
  let database: Database;
  const dir = mkdtempSync(join(tmpdir(), 'ledger-'));
  const ledger = join(dir, 'erasures.ndjson');
  beforeAll(async () => {
    testDatabase = await daemonDatabase();
    daemon = await startTestDaemon({ ERASURE_LEDGER: ledger, JOB_LEASE_MS: '2000', LOG_LEVEL: 'error' }, testDatabase.env);
    database = await openDatabase(loadConfig({ ...testDatabase.env, NODE_ENV: 'test' }), createLogger('silent'));
  });
  afterAll(async () => {
    await database.close();
    await daemon.stop();
    await testDatabase.release();
    rmSync(dir, { recursive: true, force: true });
  });

  const team = (text: string, more: Record<string, unknown> = {}) => message(text, { channel: 'team', ...more });
  async function world() {
    const owner = await newTenant(daemon.url);
    const carol = await newColleague(owner, 'carol-of-norway');
    return { owner, carol, tenant: database.tenants(owner.tenant_id) };
  }
  const record = async (client: Client, body: Record<string, unknown>) => {
    const answer = await client.request('POST', '/v1/events', { body });
    if (answer.status !== 201) throw new Error(JSON.stringify(answer.body));
    return answer.body as Record<string, any>;
  };
  const counts = async (client: Client, subject: Record<string, string>) =>
    (await client.request('POST', '/v1/erasures', { body: { ...subject, dry_run: true } })).body.counts;

  /** Records events and memories of Carol and of others that cite each other. */
  async function fill({ owner, carol, tenant }: { owner: Client; carol: Client; tenant: Tenant }) {
    const secret = `fjord-${randomBytes(6).toString('hex')}`;
    const actor = { type: 'human', id: 'carol-of-norway' };
    const hers = await record(
      carol,
      team(`my name is ${secret}`, {
        actor,
        tags: [secret],
        metadata: { nickname: secret },
        session_id: `${secret}-session`,
        user_id: 'carol-of-norway',
      }),
    );
    const long = await record(carol, team(`${secret} `.repeat(20_000), { actor, session_id: `${secret}-long` }));
    const decided = await record(carol, { ...team(''), actor, kind: 'decision', content: { decision: `use ${secret}` } });
    const uploaded = await carol.request('POST', '/v1/artifacts?channel=team', {
      body: `bytes of ${secret}`,
      headers: { 'content-type': 'text/plain', 'idempotency-key': 'u1' },
    });
    const others = await record(owner, team('an owner’s own word', { refs: ['carol-of-norway', hers.event_id] }));
    const act = await record(owner, {
      ...team(''),
      kind: 'decision',
      content: { decision: 'keep the lights on' },
      refs: [hers.event_id, others.event_id],
    });
    const only = await makeMemory(tenant, { text: 'she lives by a fjord', user_id: 'alice', refs: [hers.chunk_ids[0]] });
    const chained = await makeMemory(tenant, { text: 'fjords are cold', user_id: 'alice', refs: [only.memory_id] });
    const both = await makeMemory(tenant, {
      text: 'the team meets on mondays',
      user_id: 'alice',
      refs: [hers.event_id, others.event_id],
    });
    const free = await makeMemory(tenant, { text: 'water is wet', user_id: 'alice', refs: [others.event_id] });
    return { secret, hers, long, decided, uploaded: uploaded.body, others, act, only, chained, both, free };
  }

  test('removes a person from every table and from a dump, and keeps the data of others', async () => {
    const it = await world();
    const { owner, tenant } = it;
    const made = await fill(it);
    const before = (await owner.request('GET', '/v1/usage')).body;
    const foreseen = await counts(owner, { user_id: 'carol-of-norway' });
    expect(await dumpOf(tenant)).toContain(made.secret);
    const job = await erase(owner, { user_id: 'carol-of-norway' });
    expect(job).toMatchObject({ kind: 'erasure', state: 'done' });
    const { certificate, sha256, hmac } = job.result;
    expect(certificate.counts).toMatchObject(foreseen);
    expect(foreseen).toMatchObject({
      artifacts: 2,
      memories: 3,
      memories_kept: 2,
      citing_events: 1,
      users: 1,
      idempotency_keys: 1,
    });
    expect([sha256, hmac]).toEqual([hash('sha256', canonicalJson(certificate)), expect.stringMatching(/^[0-9a-f]{64}$/)]);

    const rows = await dumpOf(tenant);
    for (const word of [made.secret, 'carol-of-norway', 'she lives by a fjord', 'fjords are cold'])
      expect(rows).not.toContain(word);
    const dump = pgDump(testDatabase.env);
    for (const word of [made.secret, 'carol-of-norway', Buffer.from(made.secret).toString('hex')])
      expect(dump.includes(word)).toBe(false);
    expect(rows).toContain('an owner’s own word');
    const after = (await owner.request('GET', '/v1/usage')).body;
    expect(after.bytes).toBeLessThan(before.bytes - 200_000);
    expect([after.events, after.last_seq]).toEqual([before.events + 3, before.last_seq + 3]);
  }, 60_000);

  test('leaves a tombstone, and marks memories that lost a part of their sources', async () => {
    const it = await world();
    const { owner, tenant } = it;
    const made = await fill(it);
    const { result } = await erase(owner, { user_id: 'carol-of-norway' });
    const name = result.certificate.subject_hash;
    expect(name).toMatch(/^erased_[0-9a-f]{32}$/);
    const tombstone = (await owner.request('GET', `/v1/events/${made.hers.event_id}`)).body;
    expect(tombstone).toMatchObject({
      seq: made.hers.seq,
      user_id: name,
      actor: { id: name },
      content: { erased: true, erasure: name },
      tags: [],
      refs: [],
      metadata: {},
    });
    expect((await owner.request('GET', `/v1/artifacts/${made.uploaded.artifact_id}`)).status).toBe(404);
    expect((await owner.request('POST', '/v1/search', { body: { query: made.secret, channel: 'team' } })).body.data).toEqual([]);
    const seqs = (await owner.request('GET', '/v1/events?channel=team&limit=100')).body.data.map(
      (event: { seq: number }) => event.seq,
    );
    expect(new Set(seqs).size).toBe(Math.max(...seqs));
    const cited = (await owner.request('GET', `/v1/events/${made.others.event_id}`)).body;
    expect([cited.refs, cited.content]).toEqual([[name, made.hers.event_id], { text: 'an owner’s own word' }]);

    const remaining = await memoryRow(tenant, made.both.memory_id);
    expect(remaining).toMatchObject({
      marks: ['evidence_erased'],
      version: 2,
      status: 'active',
      refs: [made.others.event_id],
      passages: 1,
    });
    expect(remaining!.content.text).toBe('the team meets on mondays');
    const decision = await memoryRow(tenant, made.act.memory_id);
    expect(decision).toMatchObject({ marks: ['evidence_erased'], content: { text: 'keep the lights on' } });
    expect(decision!.refs.sort()).toEqual([made.act.event_id, made.others.event_id].sort());
    expect(await memoryRow(tenant, made.free.memory_id)).toMatchObject({ marks: [], version: 1 });
    expect([await memoryRow(tenant, made.only.memory_id), await memoryRow(tenant, made.chained.memory_id)]).toEqual([
      undefined,
      undefined,
    ]);
    const events = (await owner.request('GET', '/v1/events?channel=team&limit=100')).body.data.filter(
      (event: { kind: string }) => event.kind === 'erasure.completed',
    );
    expect(events).toHaveLength(1);
    expect(events[0].content).toMatchObject({ subject_hash: name, certificate: result.sha256 });
    expect((await it.carol.request('GET', '/auth/me')).status).toBe(401);
  }, 60_000);

  test('of a session, a project or an agent removes its events and keeps the person’s other events', async () => {
    const { owner, tenant } = await world();
    await record(owner, team('in the session', { session_id: 'doomed' }));
    await record(owner, team('in the project', { project_id: 'doomed' }));
    await record(owner, team('of the agent', { agent_id: 'doomed' }));
    await record(owner, team('said by the agent', { actor: { type: 'agent', id: 'doomed' } }));
    await record(owner, team('apart'));
    for (const [kind, n] of [
      ['session_id', 1],
      ['project_id', 1],
      ['agent_id', 2],
    ] as const) {
      expect((await counts(owner, { [kind]: 'doomed' })).events).toBe(n);
      expect((await erase(owner, { [kind]: 'doomed' })).result.certificate.counts.events).toBe(n);
      expect((await counts(owner, { [kind]: 'doomed' })).events).toBe(0);
    }
    const rows = await dumpOf(tenant);
    for (const word of ['doomed', 'in the session', 'in the project', 'of the agent', 'by the agent'])
      expect(rows).not.toContain(word);
    expect(rows).toContain('apart');
  }, 60_000);

  test('of one of two sessions that state a memory keeps the memory with the other source', async () => {
    const { owner, tenant } = await world();
    const say = (session_id: string) =>
      record(owner, { ...team('', { session_id }), kind: 'decision', content: { decision: 'tabs, not spaces' } });
    const [first, second] = [await say('one'), await say('two')];
    expect(second.memory_id).toBe(first.memory_id);
    await erase(owner, { session_id: 'one' });
    expect(await memoryRow(tenant, first.memory_id)).toMatchObject({
      status: 'active',
      marks: ['evidence_erased'],
      refs: [second.event_id],
      content: { text: 'tabs, not spaces' },
    });
    await erase(owner, { session_id: 'two' });
    expect(await memoryRow(tenant, first.memory_id)).toBeUndefined();
    expect(await dumpOf(tenant)).not.toContain('tabs, not spaces');
  }, 60_000);

  test('returns 403 to members, 422 for two subjects, 409 for the last owner, and starts once per Idempotency-Key', async () => {
    const { owner, carol } = await world();
    const status = async (client: Client, body: unknown) => (await client.request('POST', '/v1/erasures', { body })).status;
    expect(await status(carol, { user_id: 'x' })).toBe(403);
    expect(await status(owner, { user_id: 'x', session_id: 'y' })).toBe(422);
    expect(await status(owner, {})).toBe(422);
    expect(await status(owner, { user_id: 'alice' })).toBe(409);
    const headers = { 'idempotency-key': 'k1' };
    const request = () => owner.request('POST', '/v1/erasures', { body: { session_id: 'none' }, headers });
    const answers = await Promise.all([request(), request(), request()]);
    expect(new Set(answers.map(({ body }) => body.job_id)).size).toBe(1);
    expect((await owner.request('POST', '/v1/erasures', { body: { session_id: 'other' }, headers })).status).toBe(409);
  }, 60_000);

  test('is recorded in the ledger at its start and end, with an encrypted subject', async () => {
    const { owner } = await world();
    const { job_id } = await erase(owner, { session_id: 'a-name-in-clear' });
    const text = readFileSync(ledger, 'utf8');
    const lines = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.filter((line) => line.job_id === job_id).map(({ state }) => state)).toEqual(['started', 'completed']);
    expect(text).not.toContain('a-name-in-clear');
  }, 60_000);
});

function pgDump(env: Record<string, string>): Buffer {
  const engine = testEngine();
  if (engine.kind !== 'postgres') throw new Error('this needs a server');
  const { admin } = engine.cluster;
  return execFileSync('pg_dump', ['--data-only', '--inserts'], {
    // row-level security also binds the owner of the tables; backups are made by a superuser
    env: {
      ...process.env,
      ...env,
      PGHOST: admin.host,
      PGPORT: String(admin.port),
      PGUSER: admin.user,
      ...(admin.password && { PGPASSWORD: admin.password }),
    },
    maxBuffer: 1 << 28,
  });
}
