import { newTenant } from '../support/client.ts';
import { withClient } from '../support/cluster.ts';
import { startTestDaemon } from '../support/daemon.ts';
import { testOnServer } from '../support/database.ts';
import { testEngine } from '../support/engine.ts';
import { eventually } from '../support/eventually.ts';

const needsSecondConnection = testOnServer('PostgreSQL counts the rows that it reads; its only session is the daemon’s');

const HELD = 400;
const WRITTEN = 20;
/** Keys that are looked up for a memory, generously. */
const READ_FOR_ONE = 20;

interface Counts {
  inserted: number;
  read: number;
}

function countsIn(database: string): Promise<Counts> {
  const engine = testEngine();
  if (engine.kind !== 'postgres') throw new Error('a second connection is needed');
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

needsSecondConnection('a memory is written without reading the others of its tenant', async () => {
  const daemon = await startTestDaemon();
  try {
    const alice = await newTenant(daemon.url);
    const note = (text: string) => ({ kind: 'note', text, channel: 'team' });
    const write = async (body: unknown) => expect((await alice.ask('POST', '/v1/memories', { body })).status).toBe(201);
    // plans are made while there is nothing to read
    await write(note('the first'));
    for (let i = 0; i < HELD; i += 100) await write({ memories: Array.from({ length: 100 }, (_, n) => note(`held ${i + n}`)) });
    // what a session did is counted when it is idle
    const counted = async (total: number) => {
      let counts: Counts | undefined;
      await eventually(async () => {
        counts = await countsIn(daemon.env.PGDATABASE!);
        return counts.inserted === total;
      }, `${total} memories to be counted`);
      return counts!;
    };
    const before = await counted(1 + HELD);
    for (let n = 0; n < WRITTEN; n += 1) await write(note(`new ${n}`));
    const after = await counted(1 + HELD + WRITTEN);
    expect(after.read - before.read).toBeLessThan(WRITTEN * READ_FOR_ONE);
  } finally {
    await daemon.stop();
  }
});
