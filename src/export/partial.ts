import type { Channel, Visibility } from '../auth/index.ts';
import type { Tenant } from '../db/tenant.ts';
import { type Entry, listEvents } from '../events/index.ts';
import { readLogBounds } from '../follow/index.ts';
import { Problem } from '../http/problem.ts';
import { FORMAT_VERSION, line } from './full.ts';
import type { Output } from './output.ts';
import { unreadableLine } from './unreadable.ts';

const PAGE_ROWS = 500;
/** Events that one statement scans at most, because a member may see few of them. */
const WALK = 10_000;

/** Writes the events that a member can see in lists of its channels. Such an export cannot be imported, because much of what it refers to is missing. */
export async function writePartial(
  tenant: Tenant,
  { visibility, channels }: { visibility: Visibility; channels: Channel[] },
  out: Output,
  assertStillAuthorized: () => Promise<void>,
): Promise<void> {
  const clock = await tenant.read((db) => readLogBounds(db, tenant.id));
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
  const counts = { event: 0, unreadable: 0 };
  for (let after = oldest_seq - 1; after < last_seq; ) {
    await assertStillAuthorized();
    const upto = Math.min(last_seq, after + WALK);
    const stretch = { after, upto, order: 'asc', limit: PAGE_ROWS } as const;
    const { entries, more } = await tenant.read((db) => listEvents(db, tenant.id, visibility, { channels }, stretch));
    await out.write(entries.map(lineOf).join(''));
    for (const { event } of entries) counts[event ? 'event' : 'unreadable'] += 1;
    after = more || entries.length === PAGE_ROWS ? entries.at(-1)!.seq : upto;
  }
  const { event, unreadable } = counts;
  await out.write(line({ type: 'end', counts: { event, ...(unreadable > 0 && { unreadable }) }, sha256: out.digest() }));
}

/** An unreadable event is replaced by a line that reports it. */
const lineOf = ({ seq, event, unreadable }: Entry): string =>
  event ? line({ type: 'event', ...event }) : unreadableLine('event', seq, unreadable);
