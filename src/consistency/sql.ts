import type { Tenant } from '../db/tenant.ts';
import { findUnreadable } from '../events/index.ts';

export interface Finding {
  name: string;
  checked: number;
  wrong: number;
  sample: unknown[];
  /** Nothing is imported where it is wrong. */
  vital?: boolean;
  /** Whose hook found it, and may repair it. */
  noun?: string;
}

/** Each statement looks at so much, so that none comes near its time limit. */
const EVENTS_A_STEP = 2_000;
const ROWS_A_STEP = 500;

export interface LogState {
  last_seq: number;
  oldest_seq: number;
  event_count: number;
  stored_bytes: number;
  highest: number | null;
  /** Of the log; what was carried before its beginning apart. */
  lowest: number | null;
  carried_from: number | null;
  /** Bytes that are kept beside the log. */
  stored_outside_log: number;
  rebuilding: boolean;
}

export async function readLogState(tenant: Tenant): Promise<LogState | undefined> {
  const [row] = await tenant.call<LogState>('select * from read_log_state($1)', [tenant.id]);
  return row;
}

export interface SeqRange {
  from: number;
  to: number;
  /** Places that are looked at. */
  places: number;
}

/** What was carried before the seq `first`, then the log up to `last`, a step at a time. */
export async function* seqRanges(tenant: Tenant, first: number, last: number): AsyncGenerator<SeqRange> {
  for (let after = 0; ; ) {
    const [row] = await tenant.call<{ from_seq: number; to_seq: number; events: number }>(
      'select from_seq, to_seq, events from carried_range($1, $2, $3, $4)',
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
  tenant.call('select noun, name, checked, wrong, sample, vital from check_log($1, $2, $3)', [tenant.id, from, to]);

export async function measureRange(tenant: Tenant, from: number, to: number): Promise<number> {
  const [row] = await tenant.call<{ bytes: number }>('select measure_range($1, $2, $3) as bytes', [tenant.id, from, to]);
  return row!.bytes;
}

/** Nouns that have a hook of this name. */
const nounsWith = async (tenant: Tenant, hook: string): Promise<string[]> =>
  (await tenant.call<{ noun: string }>('select noun from hooks($1) noun', [hook])).map(({ noun }) => noun);

interface RowFinding extends Finding {
  /** Where the next page begins. */
  last: string | null;
}

/** The rows of every noun that compares them with the log, page by page. */
export async function* checkRows(tenant: Tenant): AsyncGenerator<Finding> {
  for (const noun of await nounsWith(tenant, 'check_rows'))
    for (let after: string | null = ''; after !== null; ) {
      const found: RowFinding[] = await tenant.call<RowFinding>(
        'select name, checked, wrong, sample, vital, last from check_rows($1, $2, $3, $4)',
        [tenant.id, noun, after, ROWS_A_STEP],
      );
      for (const { last, ...finding } of found) yield { noun, ...finding };
      after = found[0]?.last ?? null;
    }
}

/** Rows that the database holds and nobody can be given. */
const UNREADABLE = 'unreadable_rows';

export async function checkReadable(tenant: Tenant, { from, to, places }: SeqRange): Promise<Finding> {
  const found = await findUnreadable(tenant, from, to);
  const sample = found.map(({ seq, event_id, reason }) => ({ seq, event_id, reason }));
  return { name: UNREADABLE, checked: places, wrong: found.length, sample };
}

/** Finds rows of one kind, on a page that begins after an id, that the database holds and nobody can be given. */
export type FindUnreadable = (
  tenant: Tenant,
  after: string,
  limit: number,
) => Promise<{ checked: number; unreadable: unknown[]; last: string | undefined }>;

/** The rows beside the log. */
export async function* checkReadableRows(tenant: Tenant, finders: FindUnreadable[]): AsyncGenerator<Finding> {
  for (const find of finders)
    for (let after: string | undefined = ''; after !== undefined; ) {
      const page: Awaited<ReturnType<FindUnreadable>> = await find(tenant, after, ROWS_A_STEP);
      yield { name: UNREADABLE, checked: page.checked, wrong: page.unreadable.length, sample: page.unreadable };
      after = page.last;
    }
}

export const repairLog = (tenant: Tenant, from: number, to: number): Promise<unknown> =>
  tenant.call('select repair_log($1, $2, $3)', [tenant.id, from, to]);

/** The rows of those nouns that can make them again, page by page. */
export async function repairRows(tenant: Tenant, nouns: Set<string>): Promise<void> {
  for (const noun of (await nounsWith(tenant, 'repair_rows')).filter((one) => nouns.has(one)))
    for (let after: string | null = ''; after !== null; ) {
      const [page]: { last: string | null }[] = await tenant.call('select last from repair_rows($1, $2, $3, $4)', [
        tenant.id,
        noun,
        after,
        ROWS_A_STEP,
      ]);
      after = page?.last ?? null;
    }
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
