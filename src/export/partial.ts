import type { Channel, Sight } from '../auth/index.ts';
import type { Tenant } from '../db/tenant.ts';
import { listEvents, readClock } from '../events/index.ts';
import { Problem } from '../http/problem.ts';
import type { Output } from './output.ts';
import { FORMAT_VERSION, line } from './whole.ts';

const PAGE_ROWS = 500;
/** So much of the log is looked through in one statement: a member may see next to nothing of it. */
const WALK = 10_000;

/** What one member may see of the log, as lists show it in the channels `within` which it may ask. It cannot be imported: much of what it rests on is not in it. */
export async function writePartial(
  tenant: Tenant,
  { sight, within }: { sight: Sight; within: Channel[] },
  out: Output,
  alive: () => Promise<void>,
): Promise<void> {
  const clock = await tenant.read((db) => readClock(db, tenant.id));
  if (!clock) throw new Problem('not-found', 'The tenant no longer exists.');
  const { last_seq, oldest_seq } = clock;
  await out.write(
    line({
      type: 'header',
      format: 'agent-memory',
      format_version: FORMAT_VERSION,
      tenant_id: tenant.id,
      created_at: new Date().toISOString(),
      partial: true,
      as_of_seq: last_seq,
      oldest_seq,
    }),
  );
  let count = 0;
  for (let after = oldest_seq - 1; after < last_seq; ) {
    await alive();
    const upto = Math.min(last_seq, after + WALK);
    const stretch = { after, upto, order: 'asc', limit: PAGE_ROWS } as const;
    const { events, more } = await tenant.read((db) => listEvents(db, tenant.id, sight, { within }, stretch));
    await out.write(events.map((event) => line({ type: 'event', ...event })).join(''));
    count += events.length;
    after = more || events.length === PAGE_ROWS ? events.at(-1)!.seq : upto;
  }
  await out.write(line({ type: 'end', counts: { event: count }, sha256: out.digest() }));
}
