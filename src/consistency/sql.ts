import type { Tenant } from '../db/tenant.ts';
import { findUnreadable } from '../events/index.ts';

export interface Finding {
  name: string;
  checked: number;
  wrong: number;
  sample: unknown[];
  /** An import is rejected if this check fails. */
  vital?: boolean;
  /** The noun whose hook found it, and may repair it. */
  noun?: string;
}

/** Limits of a statement, far below its timeout. */
const EVENTS_PER_STEP = 2_000;
const ROWS_PER_STEP = 500;

export interface LogState {
  last_seq: number;
  oldest_seq: number;
  event_count: number;
  stored_bytes: number;
  highest: number | null;
  /** First seq of the log, without carried events. */
  lowest: number | null;
  carried_from: number | null;
  /** Bytes that nouns store outside the log. */
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
  /** Number of seqs in the range, or of carried events. */
  rows: number;
}

/** Yields the ranges of carried events before the seq `first`, then those of the log up to `last`. */
export async function* seqRanges(tenant: Tenant, first: number, last: number): AsyncGenerator<SeqRange> {
  for (let after = 0; ; ) {
    const [row] = await tenant.call<{ from_seq: number; to_seq: number; events: number }>(
      'select from_seq, to_seq, events from carried_range($1, $2, $3, $4)',
      [tenant.id, after, first, EVENTS_PER_STEP],
    );
    if (!row) break;
    yield { from: row.from_seq, to: row.to_seq, rows: row.events };
    after = row.to_seq;
  }
  for (let from = first; from <= last; from += EVENTS_PER_STEP) {
    const to = Math.min(last, from + EVENTS_PER_STEP - 1);
    yield { from, to, rows: to - from + 1 };
  }
}

export const checkLog = (tenant: Tenant, from: number, to: number): Promise<Finding[]> =>
  tenant.call('select noun, name, checked, wrong, sample, vital from check_log($1, $2, $3)', [tenant.id, from, to]);

export async function measureRange(tenant: Tenant, from: number, to: number): Promise<number> {
  const [row] = await tenant.call<{ bytes: number }>('select measure_range($1, $2, $3) as bytes', [tenant.id, from, to]);
  return row!.bytes;
}

/** Returns the nouns that have the hook. */
const nounsWith = async (tenant: Tenant, hook: string): Promise<string[]> =>
  (await tenant.call<{ noun: string }>('select noun from hooks($1) noun', [hook])).map(({ noun }) => noun);

interface RowFinding extends Finding {
  /** Where the next page starts; null: there is none. */
  last: string | null;
}

/** Compares the rows of nouns with the log, page by page. */
export async function* checkRows(tenant: Tenant): AsyncGenerator<Finding> {
  for (const noun of await nounsWith(tenant, 'check_rows'))
    for (let after: string | null = ''; after !== null; ) {
      const findings: RowFinding[] = await tenant.call<RowFinding>(
        'select name, checked, wrong, sample, vital, last from check_rows($1, $2, $3, $4)',
        [tenant.id, noun, after, ROWS_PER_STEP],
      );
      for (const { last, ...finding } of findings) yield { noun, ...finding };
      after = findings[0]?.last ?? null;
    }
}

/** Name of the check for rows that the API cannot return. */
const UNREADABLE = 'unreadable_rows';

export async function checkReadable(tenant: Tenant, { from, to, rows }: SeqRange): Promise<Finding> {
  const unreadable = await findUnreadable(tenant, from, to);
  const sample = unreadable.map(({ seq, event_id, reason }) => ({ seq, event_id, reason }));
  return { name: UNREADABLE, checked: rows, wrong: unreadable.length, sample };
}

/** Finds rows that the API cannot return, in a page of one kind of row that starts after an id. */
export type FindUnreadable = (
  tenant: Tenant,
  after: string,
  limit: number,
) => Promise<{ checked: number; unreadable: unknown[]; last: string | undefined }>;

/** Checks the rows outside the log. */
export async function* checkReadableRows(tenant: Tenant, finders: FindUnreadable[]): AsyncGenerator<Finding> {
  for (const find of finders)
    for (let after: string | undefined = ''; after !== undefined; ) {
      const page: Awaited<ReturnType<FindUnreadable>> = await find(tenant, after, ROWS_PER_STEP);
      yield { name: UNREADABLE, checked: page.checked, wrong: page.unreadable.length, sample: page.unreadable };
      after = page.last;
    }
}

export const repairLog = (tenant: Tenant, from: number, to: number): Promise<unknown> =>
  tenant.call('select repair_log($1, $2, $3)', [tenant.id, from, to]);

/** Repairs the rows of the nouns that can derive them, page by page. */
export async function repairRows(tenant: Tenant, nouns: Set<string>): Promise<void> {
  for (const noun of (await nounsWith(tenant, 'repair_rows')).filter((one) => nouns.has(one)))
    for (let after: string | null = ''; after !== null; ) {
      const [page]: { last: string | null }[] = await tenant.call('select last from repair_rows($1, $2, $3, $4)', [
        tenant.id,
        noun,
        after,
        ROWS_PER_STEP,
      ]);
      after = page?.last ?? null;
    }
}

export const repairClock = (tenant: Tenant, upto: number, count: number, bytes: number): Promise<unknown> =>
  tenant.call('select repair_clock($1, $2, $3, $4)', [tenant.id, upto, count, bytes]);

/** Returns a queued or running job of this kind. */
export async function findOpenJob(tenant: Tenant, kind: string): Promise<string | undefined> {
  const row = await tenant.read((db) =>
    db.row<{ job_id: string }>(
      `select job_id from jobs where tenant_id = $1 and kind = $2 and finished_at is null order by job_id limit 1`,
      [tenant.id, kind],
    ),
  );
  return row?.job_id;
}
