import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig } from '../../src/config.ts';
import { type Database, openDatabase } from '../../src/db/index.ts';
import { createLogger } from '../../src/log.ts';
import { message, newColleague, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { daemonDatabase, describeOnServer } from '../support/database.ts';
import { dumpOf, erase } from './support.ts';

// Data of other features about a subject, inserted directly into their tables.
const onServer = (name: string, tests: () => void) =>
  describeOnServer('a test cannot open a second connection', () => describe(name, tests));

onServer('an erasure', () => {
  let testDatabase: Awaited<ReturnType<typeof daemonDatabase>>;
  let daemon: TestDaemon;
  let database: Database;
  beforeAll(async () => {
    testDatabase = await daemonDatabase();
    daemon = await startTestDaemon({ LOG_LEVEL: 'error' }, testDatabase.env);
    database = await openDatabase(loadConfig({ ...testDatabase.env, NODE_ENV: 'test' }), createLogger('silent'));
  });
  afterAll(async () => {
    await database.close();
    await daemon.stop();
    await testDatabase.release();
  });

  test('blanks everything that its certificate counts, even if a step waits for a writer longer than its lease', async () => {
    const hasty = await startTestDaemon({ LOG_LEVEL: 'error', JOB_LEASE_MS: '1000' }, testDatabase.env);
    const owner = await newTenant(hasty.url);
    const events = Array.from({ length: 50 }, (_, i) => message(`words of erika ${i}`, { user_id: 'erika', channel: 'team' }));
    expect((await owner.request('POST', '/v1/events', { body: { events } })).status).toBe(201);
    const tenant = database.tenants(owner.tenant_id);
    const writer = tenant.write(async (db) => {
      await db.rows('select from tenant_clocks where tenant_id = $1 for update', [tenant.id]);
      await sleep(1700);
    });
    const job = await erase(owner, { user_id: 'erika' });
    await writer;
    expect(job.result.certificate.counts).toMatchObject({ events: 50, chunks: 50 });
    expect(await dumpOf(tenant)).not.toContain('erika');
    await hasty.stop();
  }, 60_000);

  test('blanks the events that a concurrent trim has left, also after a page of events that the trim dropped', async () => {
    const owner = await newTenant(daemon.url);
    const events = Array.from({ length: 100 }, (_, i) => message(`words of frida ${i}`, { user_id: 'frida', channel: 'team' }));
    // two requests, because ids are ordered between requests but not within one
    for (const some of [events.slice(0, 60), events.slice(60)])
      expect((await owner.request('POST', '/v1/events', { body: { events: some } })).status).toBe(201);
    const tenant = database.tenants(owner.tenant_id);
    const blanked = await tenant.write(async (db) => {
      await db.run(`select start_job($1, 'job_beside', 'erasure', '{}', 'policy', 10, null, null)`, [tenant.id]);
      await db.run(`select hold_job($1, 'job_beside', 60000)`, [tenant.id]);
      await db.run(
        `select mark_seqs($1, 'job_beside', 'event', array(select e.seq from events e where e.tenant_id = $1 and e.user_id = 'frida'))`,
        [tenant.id],
      );
      expect(await db.row(`select trimmed from trim_step($1, 'job_trim', 0, 60, 60)`, [tenant.id])).toEqual({ trimmed: 60 });
      const counts: number[] = [];
      for (let after: string | null = ''; after !== null; ) {
        const step: { last: string | null; events: number } | undefined = await db.row(
          `select last, (counts ->> 'events')::int as events from blank_marked($1, 'job_beside', $2, 50, $3, 'frida', 'nobody')`,
          [tenant.id, after, '{"erased": true, "erasure": "erased_00000000000000000000000000000000"}'],
        );
        counts.push(step!.events);
        after = step!.last;
      }
      await db.run(`select fail_job($1, 'job_beside', '{}')`, [tenant.id]);
      return counts;
    });
    expect(blanked).toEqual([0, 40, 0]);
    expect(await dumpOf(tenant)).not.toContain('frida');
  });

  test('covers edits, capsules and webhooks, and its dry run returns the same counts', async () => {
    const owner = await newTenant(daemon.url);
    const dora = await newColleague(owner, 'dora-of-denmark');
    const record = async (client: typeof owner, text: string) =>
      (
        await client.request('POST', '/v1/events', {
          body: message(text, { channel: 'team', actor: { type: 'human', id: client.username } }),
        })
      ).body;
    const [hers, theirs] = [await record(dora, 'her own words'), await record(owner, 'their words')];
    const tenant = database.tenants(owner.tenant_id);
    await tenant.write(async (db) => {
      const edit = (id: string, event: Record<string, any>, by: string, reason: string, status = 'pending') =>
        db.run(`insert into edits select r.* from jsonb_populate_record(null::edits, $1::jsonb) r`, [
          JSON.stringify({
            tenant_id: tenant.id,
            edit_id: id,
            status,
            version: 1,
            target: event.event_id,
            seq: event.seq,
            event_id: event.event_id,
            op: 'quarantine',
            reason,
            patch: { text: 'instead' },
            session_id: 's1',
            channel: 'team',
            user_id: 'x',
            sensitivity: 'none',
            proposed_by: { type: 'human', id: by },
            principal: by === 'alice' ? owner.user_id : dora.user_id,
            proposed_seq: Number(id.slice(4)),
            last_seq: 1,
            created_at: new Date(),
            updated_at: new Date(),
          }),
        ]);
      await edit('edt_1', hers, 'alice', 'about her words');
      await edit('edt_2', theirs, 'dora-of-denmark', 'because dora says so', 'approved');
      await edit('edt_3', theirs, 'dora-of-denmark', 'nobody has agreed');
      await db.run(
        `insert into overlays (tenant_id, seq, content, chunk_count, edit_ids, base) values ($1, $2, '{"text": "her words, amended"}', 1, '{edt_1}', '[]')`,
        [tenant.id, hers.seq],
      );
      const capsule = (id: string, user: string, seq: number, users: string[]) =>
        db.run(
          `insert into capsules (tenant_id, capsule_id, seq, user_id, channel, tags, for_all, audience_users, audience_agents, items, item_channels, item_sensitivities, created_at, expires_at)
           values ($1, $2, $3, $4, 'team', '{}', false, $5, '{}', $6, '{team}', '{none}', now(), now() + interval '1 day')`,
          [tenant.id, id, seq, user, users, [theirs.event_id]],
        );
      await capsule('cap_1', 'dora-of-denmark', hers.seq, ['alice']);
      await capsule('cap_2', 'alice', theirs.seq, ['alice', 'dora-of-denmark']);
      await db.run(
        `insert into webhooks (tenant_id, webhook_id, url, description, channels, sensitivities, user_ids, secret, cursor, created_by)
         values ($1, 'whk_1', 'https://example.com', '', '{team}', '{none}', '{alice,dora-of-denmark}', '{}', 0, $2)`,
        [tenant.id, dora.user_id],
      );
      await db.run(
        `insert into webhook_deliveries (tenant_id, webhook_id, seq, event_id, kind, state, attempts, error, attempted_at)
         values ($1, 'whk_1', $2, $3, 'message', 'dead', 1, 'told of her own words', now())`,
        [tenant.id, hers.seq, hers.event_id],
      );
    });
    const foreseen = (await owner.request('POST', '/v1/erasures', { body: { user_id: 'dora-of-denmark', dry_run: true } })).body
      .counts;
    const { result } = await erase(owner, { user_id: 'dora-of-denmark' });
    expect(result.certificate.counts).toMatchObject(foreseen);
    expect(foreseen).toMatchObject({
      edits: 2,
      edits_named: 1,
      capsules: 1,
      capsule_audiences: 1,
      webhooks_named: 1,
      webhook_deliveries: 1,
    });
    const rows = await dumpOf(tenant);
    for (const word of ['dora', dora.user_id, 'her own words', 'her words', 'edt_3']) expect(rows).not.toContain(word);
    for (const kept of ['edt_2', 'cap_2', 'whk_1', 'their words']) expect(rows).toContain(kept);
  }, 60_000);
});
