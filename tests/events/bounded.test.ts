import { type Client, message, newTenant } from '../support/client.ts';
import { withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { describeOnServer } from '../support/database.ts';
import { testEngine } from '../support/engine.ts';

// A list whose filter matches very little ends with a cursor before the end of the log. A second connection inserts the rows with SQL.

const SIZE = 30_000;

let daemon: TestDaemon;
let alice: Client;
async function fill(): Promise<void> {
  const engine = testEngine();
  if (engine.kind !== 'postgres') throw new Error('a second connection is needed');
  await withClient({ ...engine.cluster.admin, database: daemon.env.PGDATABASE! }, async (client) => {
    await client.query(
      `insert into events (tenant_id, seq, event_id, session_id, channel, actor_type, actor_id, kind, content, user_id, sensitivity, tags, occurred_at, created_at)
       select $1, n, 'evt_' || lpad(n::text, 26, '0'), 's' || n % 2, 'private', 'human', 'alice', 'message', '{"text": "x"}', 'alice', 'none',
         case when n in (2, ${SIZE}) then array['rare'] else '{}' end, now(), now()
       from generate_series(2, ${SIZE}) n`,
      [alice.tenant_id],
    );
    await client.query(
      `insert into memories (tenant_id, memory_id, kind, scope, status, version, content_seq, last_seq, user_id, channel, sensitivity, text_hash,
         importance, pinned, tags, created_at, updated_at)
       select $1, 'mem_' || lpad(n::text, 26, '0'), 'note', 'global', 'active', 1, n, n, 'alice', 'private', 'none', sha256(n::text::bytea),
         0.5, n in (2, ${SIZE}), '{}', now(), now()
       from generate_series(2, ${SIZE}) n`,
      [alice.tenant_id],
    );
    await client.query(
      `insert into memory_versions (tenant_id, memory_id, version, seq, content_seq, status)
       select tenant_id, memory_id, 1, content_seq, content_seq, 'active' from memories where tenant_id = $1`,
      [alice.tenant_id],
    );
    await client.query('update tenant_clocks set last_seq = $2 where tenant_id = $1', [alice.tenant_id, SIZE]);
  });
}

async function pagesOf(path: string): Promise<{ seqs: unknown[]; scanned: unknown[] }> {
  const [seqs, scanned]: [unknown[], unknown[]] = [[], []];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const { status, body }: { status: number; body: any } = await alice.request('GET', `${path}${cursor && `&cursor=${cursor}`}`);
    expect(status).toBe(200);
    seqs.push(...body.data.map(({ seq }: { seq: number }) => seq));
    scanned.push(body.scanned_upto);
    cursor = body.next_cursor;
  }
  return { seqs, scanned };
}

describeOnServer('the daemon uses the only session, so the test cannot write to its tables', () => {
  beforeAll(async () => {
    daemon = await startTestDaemon();
    alice = await newTenant(daemon.url);
    const { status } = await alice.request('POST', '/v1/events', { body: message('the first') });
    expect(status).toBe(201);
    await fill();
  });
  afterAll(() => daemon.stop());

  test('a list of events without matches returns the scanned position of each page', async () => {
    expect(await pagesOf('/v1/events?tag=nowhere')).toEqual({ seqs: [], scanned: [20_000, undefined] });
    expect(await pagesOf('/v1/events?tag=nowhere&order=desc')).toEqual({ seqs: [], scanned: [10_001, undefined] });
    expect(await pagesOf('/v1/events?user_id=alice&kind=decision&until=2001-01-01T00:00:00Z')).toMatchObject({ seqs: [] });
  });

  test('matches at both ends of the log are returned once over the pages, in either order', async () => {
    expect((await pagesOf('/v1/events?tag=rare')).seqs).toEqual([2, SIZE]);
    expect((await pagesOf('/v1/events?tag=rare&order=desc')).seqs).toEqual([SIZE, 2]);
    expect((await pagesOf('/v1/events?tag=rare&after=2')).seqs).toEqual([SIZE]);
    expect((await pagesOf('/v1/events?tag=rare&session_id=s0&limit=1')).seqs).toEqual([2, SIZE]);
  });

  test('a list of a session scans only its events', async () => {
    expect(await pagesOf('/v1/events?session_id=s0&tag=rare')).toEqual({ seqs: [2, SIZE], scanned: [undefined] });
  });

  test('a filtered list scans fewer events per request and finds the same ones', async () => {
    const filter = encodeURIComponent('{"tags": {"contains": "rare"}}');
    const { seqs, scanned } = await pagesOf(`/v1/events?filter=${filter}`);
    expect(seqs).toEqual([2, SIZE]);
    expect(scanned.length).toBeGreaterThanOrEqual(SIZE / 5_000);
    expect(scanned.slice(0, -1).every((seq) => typeof seq === 'number')).toBe(true);
  });

  test('a list of memories is bounded in the same way', async () => {
    const { seqs, scanned } = await pagesOf('/v1/memories?pinned=true&order=asc&kind=note');
    expect([seqs, scanned.length]).toEqual([[2, SIZE], 3]);
    expect(await pagesOf('/v1/memories?tag=nowhere')).toMatchObject({
      seqs: [],
      scanned: [expect.any(String), expect.any(String), undefined],
    });
  });
});
