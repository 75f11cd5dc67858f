import type { Tenant } from '../db/tenant.ts';
import type { Job } from '../jobs/index.ts';
import type { Parts } from './replace_names.ts';
import type { Counts, ErasureInput, KeptShared } from './schemas.ts';

/** The progress of an erasure; the database advances it. */
export interface Cursor {
  phase: string;
  after: string;
  upto: number;
  found: number;
  counts: Counts;
  started_at: string;
  finished_at?: string;
  /** With `keep_shared`: the seq up to which names were replaced. */
  renamed_upto?: number;
}

async function one<T>(tenant: Tenant, text: string, values: unknown[]): Promise<T> {
  const [row] = await tenant.call<{ value: T }>(text, values);
  return row!.value;
}

export const isLastOwner = (tenant: Tenant, subject: string): Promise<boolean> =>
  tenant.read(async (db) => {
    const row = await db.row<{ last: boolean }>(
      `select is_last_owner($1, array(select user_id from users where tenant_id = $1 and subject = $2)) as last`,
      [tenant.id, subject],
    );
    return row!.last;
  });

type ErasureJob = Job<Pick<ErasureInput, 'kind' | 'subject' | 'upto_seq' | 'before' | 'keep_shared'>>;

/** The seq up to which an erasure reaches, and a time before which all these events were recorded, by the clock of the database. */
export interface ErasureScope {
  upto: number;
  at: string;
}

export async function beginErasure({ tenant, id, input }: ErasureJob): Promise<ErasureScope> {
  const { upto_seq, before } = input;
  // reads the time after the seq and rounds it up, because it is later compared in milliseconds
  const [row] = await tenant.call<ErasureScope>(
    `select b.upto, date_trunc('milliseconds', clock_timestamp()) + interval '1 millisecond' as at
     from begin_erasure($1, $2, $3, $4, $5, coalesce($6::timestamptz, clock_timestamp()), $7) b (upto)`,
    [
      tenant.id,
      id,
      input.kind,
      input.subject,
      upto_seq === undefined ? Number.MAX_SAFE_INTEGER : await lastBefore(tenant, upto_seq, before!),
      before,
      input.keep_shared ?? false,
    ],
  );
  return row!;
}

/** Returns the last seq that was recorded before the erasure. After an earlier restore, seqs were reused: the same seq can now be a newer event. */
const lastBefore = (tenant: Tenant, upto_seq: number, before: string): Promise<number> =>
  tenant.read(async (db) => {
    const row = await db.row<{ seq: number }>(
      `select e.seq
       from events e
       where e.tenant_id = $1 and e.seq <= $2::bigint and e.created_at < $3::timestamptz
       order by e.seq desc
       limit 1`,
      [tenant.id, upto_seq, before],
    );
    return row?.seq ?? 0;
  });

/** Runs one step in a short transaction. Returns null if another daemon has the job. `ids`: for the events that the step may append. */
export const eraseStep = (
  { tenant, id, token, lease_ms, input }: ErasureJob,
  cursor: Cursor,
  limit: number,
  ids: string[],
): Promise<Cursor | null> =>
  one(tenant, 'select erase_step($1, $2, $3, $4, $5, $6, $7, $8) as value', [
    tenant.id,
    id,
    token,
    lease_ms,
    limit,
    JSON.stringify(cursor),
    JSON.stringify({ ...input, before: input.before ?? cursor.started_at }),
    ids,
  ]);

/** Returns the saved progress. */
export const readCursor = (tenant: Tenant, job_id: string): Promise<Cursor | undefined> =>
  tenant.read(async (db) => {
    const sql = 'select cursor from jobs where tenant_id = $1 and job_id = $2';
    const row = await db.row<{ cursor: Cursor | null }>(sql, [tenant.id, job_id]);
    return row?.cursor ?? undefined;
  });

/** Returns the accounts of the subject that were marked at the beginning. */
export const readMarkedAccounts = (tenant: Tenant, job_id: string): Promise<string[]> =>
  tenant.read(async (db) => {
    const rows = await db.rows<{ id: string }>(
      `select id from erasure_marks where tenant_id = $1 and job_id = $2 and what = 'user'`,
      [tenant.id, job_id],
    );
    return rows.map(({ id }) => id);
  });

/** Returns the current accounts of a subject. */
export const readAccounts = (tenant: Tenant, subject: string): Promise<string[]> =>
  tenant.read(async (db) => {
    const rows = await db.rows<{ user_id: string }>('select user_id from users where tenant_id = $1 and subject = $2', [
      tenant.id,
      subject,
    ]);
    return rows.map(({ user_id }) => user_id);
  });

/** Appends the event `erasure.completed` unless it exists. */
export const appendCompletion = (tenant: Tenant, job_id: string, event: unknown): Promise<number> =>
  one(tenant, 'select append_erasure_event($1, $2, $3) as value', [tenant.id, job_id, JSON.stringify(event)]);

const LISTED_IDS = 1000;

/** Lists the items that `keep_shared` retained. */
export const listShared = (tenant: Tenant, job_id: string): Promise<KeptShared> =>
  one(tenant, 'select list_shared($1, $2, $3) as value', [tenant.id, job_id, LISTED_IDS]);

/** A retained event with all of its data that can contain a name. `was`: hash by which the database detects changes of that data. */
export interface SharedEvent {
  seq: number;
  was: string;
  parts: Parts;
}

/** Returns the names that identify the subject. */
export const readNames = (tenant: Tenant, job_id: string): Promise<string[]> =>
  tenant.read(async (db) => {
    const rows = await db.rows<{ id: string }>(
      `select id from erasure_marks where tenant_id = $1 and job_id = $2 and what = 'name'`,
      [tenant.id, job_id],
    );
    return rows.map(({ id }) => id);
  });

export const readSharedEvents = (tenant: Tenant, job_id: string, after: number, limit: number): Promise<SharedEvent[]> =>
  tenant.read((db) =>
    db.rows('select seq, md5(parts::text) as was, parts from read_shared_events($1, $2, $3, $4)', [
      tenant.id,
      job_id,
      after,
      limit,
    ]),
  );

/** Writes a step in a short transaction. `stale`: number of events that were edited since they were read, and were not written. */
export async function renameShared(
  { tenant, id, token, lease_ms }: ErasureJob,
  cursor: Cursor,
  docs: SharedEvent[],
): Promise<{ leased: boolean; stale: number }> {
  const [row] = await tenant.call<{ leased: boolean; stale: number }>(
    'select held as leased, stale from rename_shared($1, $2, $3, $4, $5, $6)',
    [tenant.id, id, token, lease_ms, JSON.stringify(cursor), JSON.stringify(docs)],
  );
  return row!;
}

const MARKS_PER_BATCH = 5000;

export async function dropMarks(tenant: Tenant, job_id: string): Promise<void> {
  for (let count = MARKS_PER_BATCH; count === MARKS_PER_BATCH; )
    count = await one(tenant, 'select drop_marks($1, $2, $3) as value', [tenant.id, job_id, MARKS_PER_BATCH]);
}

/** Deletes the marks of jobs that have ended. */
export const sweepMarks = (tenant: Tenant, limit: number): Promise<number> =>
  tenant.write((db) =>
    db.run(
      `delete from erasure_marks
       where tenant_id = $1 and ctid = any (array(
         select k.ctid from erasure_marks k
         where k.tenant_id = $1 and not exists (
           select from jobs j where j.tenant_id = $1 and j.job_id = k.job_id and j.finished_at is null)
         limit $2))`,
      [tenant.id, limit],
    ),
  );
