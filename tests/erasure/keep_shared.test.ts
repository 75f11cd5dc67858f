import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../src/config.ts';
import { type Database, openDatabase } from '../../src/db/index.ts';
import { readLedger, replayErasures } from '../../src/erasure/index.ts';
import type { Jobs } from '../../src/jobs/index.ts';
import { sealOf } from '../../src/keys.ts';
import { createLogger } from '../../src/log.ts';
import { type Client, message, newTenant, PASSWORD, send } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { daemonDatabase, testOnServer } from '../support/database.ts';
import { dumpOf, erase } from './support.ts';

const dir = mkdtempSync(join(tmpdir(), 'ledger-'));
const ledger = join(dir, 'erasures.ndjson');
let testDatabase: Awaited<ReturnType<typeof daemonDatabase>>;
let daemon: TestDaemon;
beforeAll(async () => {
  testDatabase = await daemonDatabase();
  daemon = await startTestDaemon({ ERASURE_LEDGER: ledger, LOG_LEVEL: 'error' }, testDatabase.env);
});
afterAll(async () => {
  await daemon.stop();
  await testDatabase.release();
  rmSync(dir, { recursive: true, force: true });
});

const names = ['Zoe-Ann', 'zoe@fjord.example'];

async function newPerson(owner: Client): Promise<Client> {
  const invite = await owner.request('POST', '/auth/invites', { body: { role: 'admin' } });
  const body = {
    tenant_id: owner.tenant_id,
    username: names[0],
    email: names[1],
    password: PASSWORD,
    invite: invite.body.invite,
  };
  const { status, body: made } = await send<any>(owner.url, 'POST', '/auth/register', { body });
  if (status !== 201) throw new Error(JSON.stringify(made));
  return {
    ...owner,
    token: made.access_token,
    request: (method, path, asked) => send(owner.url, method, path, asked, made.access_token),
  };
}
const record = async (client: Client, body: Record<string, unknown>) => {
  const answer = await client.request('POST', '/v1/events', { body: { ...message(''), channel: 'team', ...body } });
  if (answer.status !== 201) throw new Error(JSON.stringify(answer.body));
  return answer.body as Record<string, any>;
};

/** Records decisions, a task and a rule that the person shares with others, and events that are only theirs. */
async function fill(owner: Client) {
  const zoe = await newPerson(owner);
  const actor = { type: 'human', id: names[0]! };
  const recorded = await record(zoe, { actor, content: { text: 'Zoe-Ann talks about heliotrope' } });
  const decision = await record(zoe, {
    actor,
    kind: 'decision',
    content: { decision: 'Use lavender, says zoe-ann (zoe@fjord.example); Annabel disagrees' },
    refs: [recorded.event_id],
    tags: ['Zoe-Ann'],
    metadata: { owners: { 'Zoe-Ann': true } },
  });
  const task = await record(zoe, {
    actor,
    kind: 'task_update',
    content: { task_id: 'paint', title: 'Zoe-Ann paints the lavender wall', status: 'doing' },
  });
  const rule = await zoe.request('POST', '/v1/memories', {
    body: { kind: 'rule', scope: 'project', project_id: 'wall', channel: 'team', text: 'Zoe-Ann approves each lavender colour' },
  });
  expect([rule.status, rule.body.title]).toEqual([201, undefined]);
  const hidden = await record(zoe, {
    actor,
    channel: 'private',
    user_id: names[0],
    kind: 'decision',
    content: { decision: 'my heliotrope secret' },
  });
  return { zoe, said: recorded, decision, task, rule: rule.body, hidden };
}

test('keep_shared keeps decisions, tasks and rules of the team, with the names of the person replaced', async () => {
  const owner = await newTenant(daemon.url);
  const made = await fill(owner);
  const edit = await owner.request('POST', '/v1/edits', {
    body: {
      target: made.task.event_id,
      op: 'amend',
      patch: { text: 'Zoe-Ann paints the wall in deep lavender' },
      reason: 'Zoe-Ann said so',
    },
  });
  expect([edit.status, edit.body.detail]).toEqual([201, undefined]);
  const body = { user_id: names[0], keep_shared: true };
  const foreseen = (await owner.request('POST', '/v1/erasures', { body: { ...body, dry_run: true } })).body;
  const job = await erase(owner, body);
  expect(job).toMatchObject({ state: 'done' });
  const { certificate } = job.result;
  expect(certificate.counts).toMatchObject(foreseen.counts);
  expect(certificate.kept_shared).toEqual(foreseen.kept_shared);
  expect(certificate.kept_shared).toMatchObject({ events: 3, memories: 3 });
  expect(certificate.kept_shared.event_ids).toEqual(expect.arrayContaining([made.decision.event_id, made.task.event_id]));
  const hash = certificate.subject_hash;

  const decision = (await owner.request('GET', `/v1/events/${made.decision.event_id}`)).body;
  expect(decision).toMatchObject({
    content: { decision: `Use lavender, says ${hash} (${hash}); Annabel disagrees` },
    actor: { type: 'human', id: hash },
    tags: [hash],
    metadata: { owners: { [hash]: true } },
  });
  const held = (await owner.request('GET', '/v1/memories?limit=100')).body.data as {
    text: string;
    kind: string;
    marks?: string[];
  }[];
  expect(held.map(({ kind }) => kind).sort()).toEqual(['decision', 'rule', 'task']);
  expect(held.find(({ kind }) => kind === 'rule')!.text).toBe(`${hash} approves each lavender colour`);
  const found = (await owner.request('POST', '/v1/search', { body: { query: 'lavender' } })).body.data as { text: string }[];
  expect(found.length).toBeGreaterThanOrEqual(3);
  for (const word of ['heliotrope', 'Ann'])
    expect((await owner.request('POST', '/v1/search', { body: { query: word } })).body.data).toEqual([]);
  // events that are only theirs become tombstones
  for (const { event_id } of [made.said, made.hidden])
    expect((await owner.request('GET', `/v1/events/${event_id}`)).body).toMatchObject({
      event_id,
      actor: { id: hash },
      content: { erased: true, erasure: hash },
      tags: [],
      refs: [],
    });
  expect((await owner.request('GET', '/v1/consistency')).body.checks.filter(({ ok }: { ok: boolean }) => !ok)).toEqual([]);
});

testOnServer('a second connection reads its tables')('with keep_shared no table contains the person', async () => {
  const database: Database = await openDatabase(loadConfig({ ...testDatabase.env, NODE_ENV: 'test' }), createLogger('silent'));
  try {
    const owner = await newTenant(daemon.url);
    await fill(owner);
    const tenant = database.tenants(owner.tenant_id);
    expect(await dumpOf(tenant)).toContain('zoe@fjord.example');
    await erase(owner, { user_id: names[0], keep_shared: true });
    const rows = await dumpOf(tenant);
    for (const word of [/zoe-ann/i, /zoe@fjord/, /heliotrop/, /'zoe'/, /'ann'/]) expect(rows).not.toMatch(word);
    expect(rows).toContain('lavender');
    const entry = readFileSync(ledger, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line))
      .find(({ tenant_id }) => tenant_id === owner.tenant_id);
    expect(entry).toMatchObject({ keep_shared: true });
    const again: unknown[] = [];
    const jobs = { start: async (_tenant: unknown, _kind: string, input: unknown) => again.push(input) && { job_id: 'job_1' } };
    const seal = sealOf(loadConfig({ NODE_ENV: 'test', ENCRYPTION_KEY: Buffer.alloc(32, 'only-for-tests').toString('base64') }))!;
    const needs = { tenants: database.tenants, jobs: jobs as unknown as Jobs, seal, remove: async () => undefined };
    await replayErasures(needs, readLedger(ledger).entries.find(({ job_id }) => job_id === entry.job_id)!);
    expect(again).toEqual([expect.objectContaining({ subject: names[0], keep_shared: true, replay_of: entry.job_id })]);
  } finally {
    await database.close();
  }
});

test('without keep_shared the shared items are erased; for a subject that is not a person it returns 422', async () => {
  const owner = await newTenant(daemon.url);
  await fill(owner);
  const job = await erase(owner, { user_id: names[0] });
  expect(job.result.certificate.kept_shared).toBeUndefined();
  expect((await owner.request('GET', '/v1/memories?limit=100')).body.data).toEqual([]);
  const refused = await owner.request('POST', '/v1/erasures', { body: { session_id: 's', keep_shared: true } });
  expect([refused.status, JSON.stringify(refused.body)]).toEqual([422, expect.stringContaining('keep_shared')]);
});

test('two decisions that differ only in the case of a name merge, and the same person can be erased twice', async () => {
  const owner = await newTenant(daemon.url);
  for (let time = 0; time < 2; time += 1) {
    for (const decision of ['Ask Ken first', 'Ask ken first'])
      await record(owner, { user_id: 'ken', kind: 'decision', content: { decision } });
    expect(await erase(owner, { user_id: 'ken', keep_shared: true })).toMatchObject({ state: 'done' });
  }
  const { data: items } = (await owner.request('GET', '/v1/memories?limit=100&status=active')).body;
  expect(items).toHaveLength(1);
  expect(items[0].text).toMatch(/^Ask erased_[0-9a-f]{32} first$/);
});
