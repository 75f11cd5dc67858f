import { newTenant } from '../support/client.ts';
import { withClient } from '../support/cluster.ts';
import { startTestDaemon } from '../support/daemon.ts';
import { testOnServer } from '../support/database.ts';
import { testEngine } from '../support/engine.ts';
import { eventually } from '../support/eventually.ts';

const needsSecondConnection = testOnServer('row counts need a second session of PostgreSQL');

const EXISTING = 400;
const WRITTEN = 20;
/** Upper bound of index look-ups per memory. */
const READ_FOR_ONE = 20;

interface Counts {
  inserted: number;
  read: number;
}

function countsIn(database: string): Promise<Counts> {
  const engine = testEngine();
  if (engine.kind !== 'postgres') throw new Error('this test needs PostgreSQL');
  return withClient({ ...engine.cluster.admin, database }, async (client) => {
    const { rows } = await client.query<Counts>(
      `select t.n_tup_ins::int as inserted, (t.seq_tup_read + sum(i.idx_tup_read))::int as read
       from pg_stat_user_tables t join pg_stat_user_indexes i using (relid)
       where t.relname = 'memories'
       group by t.relid, t.n_tup_ins, t.seq_tup_read`,
    );
    return rows[0]!;
  });
}

needsSecondConnection('writing a memory does not read the other memories of the tenant', async () => {
  const daemon = await startTestDaemon();
  try {
    const alice = await newTenant(daemon.url);
    const note = (text: string) => ({ kind: 'note', text, channel: 'team' });
    const write = async (body: unknown) => expect((await alice.request('POST', '/v1/memories', { body })).status).toBe(201);
    // plans are cached while the table is empty
    await write(note('the first'));
    for (let i = 0; i < EXISTING; i += 100)
      await write({ memories: Array.from({ length: 100 }, (_, n) => note(`existing ${i + n}`)) });
    // PostgreSQL reports the counts of a session once it is idle
    const counted = async (total: number) => {
      let counts: Counts | undefined;
      await eventually(async () => {
        counts = await countsIn(daemon.env.PGDATABASE!);
        return counts.inserted === total;
      }, `${total} memories to be counted`);
      return counts!;
    };
    const before = await counted(1 + EXISTING);
    for (let n = 0; n < WRITTEN; n += 1) await write(note(`new ${n}`));
    const after = await counted(1 + EXISTING + WRITTEN);
    expect(after.read - before.read).toBeLessThan(WRITTEN * READ_FOR_ONE);
  } finally {
    await daemon.stop();
  }
});
