import { Client as PgClient } from 'pg';
import { message, newTenant } from '../support/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer } from '../support/database.ts';

// A rebuild reads events, derives their passages in the daemon and writes them later. It must not restore what was erased or renamed meanwhile.

describeOnServer('the test needs a second connection', () => {
  let daemon: TestDaemon;
  let sql: PgClient;
  beforeAll(async () => {
    daemon = await startTestDaemon({ LOG_LEVEL: 'silent' });
    const { PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD } = daemon.env;
    sql = new PgClient({ host: PGHOST, port: Number(PGPORT), user: PGUSER, database: PGDATABASE, password: PGPASSWORD });
    await sql.connect();
  });
  afterAll(async () => {
    await sql.end();
    await daemon.stop();
  });

  async function inTenant<T>(tenant: string, text: string, values: unknown[] = []): Promise<T[]> {
    await sql.query('begin');
    try {
      await sql.query('select enter_tenant($1)', [tenant]);
      return (await sql.query(text, values)).rows;
    } finally {
      await sql.query('commit');
    }
  }

  const read = (tenant: string) =>
    inTenant<{ seq: number; source: string }>(
      tenant,
      'select e.seq::int, passage_source(e) as source from events e order by e.seq',
    );
  const write = async (tenant: string, from: { seq: number; source: string }[], text: string) => {
    const chunks = from.map(({ seq }) => ({ seq, ordinal: 0, text, header: '', token_count: 5 }));
    const [row] = await inTenant<{ written: boolean }>(tenant, 'select rebuild_chunks($1, 1, $2, $3, $4) as written', [
      tenant,
      from.at(-1)!.seq,
      JSON.stringify(from),
      JSON.stringify(chunks),
    ]);
    return row!.written;
  };
  const texts = async (tenant: string) =>
    (await inTenant<{ text: string }>(tenant, 'select passage_text(c) as text from chunks c order by c.seq')).map(
      ({ text }) => text,
    );

  test('passages of unchanged events are written', async () => {
    const { request, tenant_id } = await newTenant(daemon.url);
    await request('POST', '/v1/events', { body: message('the plan of anna') });
    expect(await write(tenant_id, await read(tenant_id), 'the plan of anna')).toBe(true);
    expect(await texts(tenant_id)).toEqual(['the plan of anna']);
  });

  test.each([
    ['erased', { user_id: 'anna' }],
    ['renamed', { user_id: 'anna', keep_shared: true }],
  ])('nothing is written if an event was %s since it was read', async (_how, erasure) => {
    const { request, tenant_id } = await newTenant(daemon.url);
    const decision = { kind: 'decision', channel: 'team', user_id: 'anna', content: { decision: 'anna ships on friday' } };
    expect((await request('POST', '/v1/events', { body: decision })).status).toBe(201);
    const before = await read(tenant_id);
    const { body } = await request('POST', '/v1/erasures', { body: erasure });
    for (let state = 'queued'; state !== 'done'; ) {
      ({ state } = (await request('GET', `/v1/jobs/${body.job_id}`)).body);
      if (state === 'failed') throw new Error('the erasure failed');
    }
    const current = await texts(tenant_id);
    expect(await write(tenant_id, before, 'anna ships on friday')).toBe(false);
    expect(await texts(tenant_id)).toEqual(current);
    expect(current.join()).not.toContain('anna');
  });
});
