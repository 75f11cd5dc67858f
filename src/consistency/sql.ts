import type { Tenant } from '../db/tenant.ts';
import { findUnreadable } from '../events/index.ts';
import { findUnreadableMemories } from '../memories/index.ts';

export interface Finding {
  name: string;
  checked: number;
  wrong: number;
  sample: unknown[];
}

/** Each statement looks at so much, so that none comes near its time limit. */
export const EVENTS_A_STEP = 2_000;
const MEMORIES_A_STEP = 500;

export interface Standing {
  last_seq: number;
  oldest_seq: number;
  event_count: number;
  stored_bytes: number;
  highest: number | null;
  /** Of the log; what was carried before its beginning apart. */
  lowest: number | null;
  carried_from: number | null;
  artifact_bytes: number;
  unlinked: number;
  rebuilding: boolean;
}

export async function readStanding(tenant: Tenant): Promise<Standing | undefined> {
  const [row] = await tenant.call<Standing>('select * from read_standing($1)', [tenant.id]);
  return row;
}

export interface Reach {
  from: number;
  to: number;
  /** Places that are looked at. */
  places: number;
}

/** What was carried before the seq `first`, then the log up to `last`, a step at a time. */
export async function* stretchesOf(tenant: Tenant, first: number, last: number): AsyncGenerator<Reach> {
  for (let after = 0; ; ) {
    const [row] = await tenant.call<{ from_seq: number; to_seq: number; events: number }>(
      'select from_seq, to_seq, events from carried_stretch($1, $2, $3, $4)',
      [tenant.id, after, first, EVENTS_A_STEP],
    );
    if (!row) break;
    yield { from: row.from_seq, to: row.to_seq, places: row.events };
    after = row.to_seq;
  }
  for (let from = first; from <= last; from += EVENTS_A_STEP) {
    const to = Math.min(last, from + EVENTS_A_STEP - 1);
    yield { from, to, places: to - from + 1 };
  }
}

export const checkLog = (tenant: Tenant, from: number, to: number): Promise<Finding[]> =>
  tenant.call('select name, checked, wrong, sample from check_log($1, $2, $3)', [tenant.id, from, to]);

export async function measure(tenant: Tenant, from: number, to: number): Promise<number> {
  const [row] = await tenant.call<{ bytes: number }>('select measure($1, $2, $3) as bytes', [tenant.id, from, to]);
  return row!.bytes;
}

interface Page extends Omit<Finding, 'name'> {
  /** Where the next one begins. */
  last: string | null;
}

const ofMemories = {
  memories: 'select checked, wrong, sample, last from check_memories($1, $2, $3)',
  superseded_by: 'select checked, wrong, sample, last from check_successors($1, $2, $3)',
};

/** Page by page. */
export async function* checkMemories(tenant: Tenant): AsyncGenerator<Finding> {
  for (const [name, statement] of Object.entries(ofMemories))
    for (let after: string | null = ''; after !== null; ) {
      const pages: Page[] = await tenant.call<Page>(statement, [tenant.id, after, MEMORIES_A_STEP]);
      const { last, ...finding }: Page = pages[0]!;
      yield { name, ...finding };
      after = last;
    }
}

/** Rows that the database holds and nobody can be given. */
const UNREADABLE = 'unreadable_rows';

export async function checkReadable(tenant: Tenant, { from, to, places }: Reach): Promise<Finding> {
  const found = await findUnreadable(tenant, from, to);
  const sample = found.map(({ seq, event_id, reason }) => ({ seq, event_id, reason }));
  return { name: UNREADABLE, checked: places, wrong: found.length, sample };
}

export async function* checkReadableMemories(tenant: Tenant): AsyncGenerator<Finding> {
  for (let after: string | undefined = ''; after !== undefined; ) {
    const page: Awaited<ReturnType<typeof findUnreadableMemories>> = await findUnreadableMemories(tenant, after, MEMORIES_A_STEP);
    yield { name: UNREADABLE, checked: page.checked, wrong: page.unreadable.length, sample: page.unreadable };
    after = page.last;
  }
}

export async function repairLog(tenant: Tenant, from: number, to: number): Promise<number> {
  const [row] = await tenant.call<{ n: number }>('select repair_log($1, $2, $3) as n', [tenant.id, from, to]);
  return row!.n;
}

export async function repairMemories(tenant: Tenant): Promise<number> {
  let changed = 0;
  for (let after: string | null = ''; after !== null; ) {
    const [page]: { changed: number; last: string | null }[] = await tenant.call(
      'select changed, last from repair_memories($1, $2, $3)',
      [tenant.id, after, MEMORIES_A_STEP],
    );
    changed += page!.changed;
    after = page!.last;
  }
  return changed;
}

export const repairClock = (tenant: Tenant, upto: number, count: number, bytes: number): Promise<unknown> =>
  tenant.call('select repair_clock($1, $2, $3, $4)', [tenant.id, upto, count, bytes]);

/** Of this kind, queued or running. */
export async function findOpenJob(tenant: Tenant, kind: string): Promise<string | undefined> {
  const row = await tenant.read((db) =>
    db.row<{ job_id: string }>(
      `select job_id from jobs where tenant_id = $1 and kind = $2 and finished_at is null order by job_id limit 1`,
      [tenant.id, kind],
    ),
  );
  return row?.job_id;
}
