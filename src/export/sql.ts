import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';

/** A table that is exported, a line a row, as its migration says it. */
export interface Part {
  part: string;
  /** The columns by which its rows are told apart. */
  keys: string[];
  /** Its rows change, and are read in one snapshot. The others a log of a given length has for good. */
  changes: boolean;
  /** Bytes follow each line, as pieces. */
  has_bytes: boolean;
  /** Columns that hold a time, and those of them that are never null. */
  times: string[];
  needed_times: string[];
}

/** In the order of the file. */
export const listParts = (db: Db): Promise<Part[]> =>
  db.rows<Part>('select part, keys, changes, has_bytes, times, needed_times from list_parts()', []);

const PAGE_ROWS = 1_000;
const WITH_BYTES_A_PAGE = 100;

export interface Page {
  lines: string;
  n: number;
  last: unknown;
}

/** The rows of a part as lines, page by page, the next one read while one is taken; `rows` runs a statement. */
export async function* pagesOf(
  tenant_id: string,
  { part, has_bytes }: Part,
  upto: number,
  rows: (text: string, values: unknown[]) => Promise<Page[]>,
): AsyncGenerator<Page> {
  const limit = has_bytes ? WITH_BYTES_A_PAGE : PAGE_ROWS;
  const begin = (after: unknown): Promise<Page | undefined> => {
    const values = [tenant_id, part, after === null ? null : JSON.stringify(after), upto, limit];
    const page = rows('select lines, n, last from export_page($1, $2, $3, $4, $5)', values).then(([row]) => row);
    // awaited later, or not at all where the client is gone
    page.catch(() => undefined);
    return page;
  };
  let coming = begin(null);
  try {
    for (let page = await coming; page && page.n > 0; page = await coming) {
      coming = begin(page.last);
      yield page;
    }
  } finally {
    // nothing runs on the connection any more
    await coming.catch(() => undefined);
  }
}

export interface TenantState {
  last_seq: number;
  oldest_seq: number;
  event_count: number;
  stored_bytes: number;
  language: string;
  settings: Record<string, unknown>;
}

export const readTenantState = (db: Db, tenant_id: string): Promise<TenantState | undefined> =>
  db.row(
    `select c.last_seq, c.oldest_seq, c.event_count, c.stored_bytes, f.cfgname::text as language, t.settings
     from tenants t
     join tenant_clocks c on c.tenant_id = t.tenant_id
     join pg_catalog.pg_ts_config f on f.oid = t.language
     where t.tenant_id = $1`,
    [tenant_id],
  );

/** A piece of an artifact; undefined where it is no longer there. */
export async function readPiece(tenant: Tenant, artifact_id: string, from: number, length: number): Promise<Buffer | undefined> {
  const row = await tenant.read((db) =>
    db.row<{ piece: Buffer }>(
      'select substring(bytes from $3::int + 1 for $4::int) as piece from artifacts where tenant_id = $1 and artifact_id = $2',
      [tenant.id, artifact_id, from, length],
    ),
  );
  return row?.piece;
}

/** The import is a job: who receives the file holds it by a lease. */
export interface Import {
  id: string;
  lease_ms: number;
}

/** Marks the tenant if it is empty; AM409 otherwise. Returns how many bytes it may store; null: no bound. */
export async function beginImport(tenant: Tenant, { id, lease_ms }: Import, started_by: string): Promise<number | null> {
  const [row] = await tenant.call<{ room: number | null }>('select begin_import($1, $2, $3, $4) as room', [
    tenant.id,
    id,
    started_by,
    lease_ms,
  ]);
  return row!.room;
}

/** `total`: of its progress, where that is known now. */
export const renewImport = (tenant: Tenant, { id, lease_ms }: Import, total?: number): Promise<unknown> =>
  tenant.call('select renew_import($1, $2, 0, $3, $4)', [tenant.id, id, total, lease_ms]);

/** `json`: an array of lines. */
export async function insertRows(tenant: Tenant, { id, lease_ms }: Import, part: string, json: string): Promise<void> {
  await tenant.call('select import_rows($1, $2, $3, $4, $5)', [tenant.id, id, part, json, lease_ms]);
}

export async function insertArtifact(tenant: Tenant, { id, lease_ms }: Import, line: string, bytes: Buffer): Promise<void> {
  await tenant.call('select import_artifact($1, $2, $3, $4, $5)', [tenant.id, id, line, bytes, lease_ms]);
}

const ROWS_A_STEP = 5_000;

/** What is wrong with a row that does not fit the log, as far as the log is there. */
export async function findMisfit(tenant: Tenant, first: number): Promise<string | undefined> {
  for (const { noun } of await tenant.call<{ noun: string }>('select noun from hooks($1) noun', ['stray']))
    for (let after: string | null = ''; after !== null; ) {
      const [row]: { last: string | null; fault: string | null }[] = await tenant.call(
        'select last, fault from find_stray($1, $2, $3, $4, $5)',
        [tenant.id, noun, first, after, ROWS_A_STEP],
      );
      if (row!.fault !== null) return row!.fault;
      after = row!.last;
    }
  return undefined;
}

export interface Clock {
  last_seq: number;
  oldest_seq: number;
  event_count: number;
  stored_bytes: number;
}

/** The tenant as imported; its job may go on with the passages: both or neither. */
export async function finishImport(
  tenant: Tenant,
  { id }: Import,
  clock: Clock,
  { language, settings }: Pick<TenantState, 'language' | 'settings'>,
): Promise<void> {
  await tenant.call('select finish_import($1, $2, $3, $4, $5)', [
    tenant.id,
    id,
    JSON.stringify(clock),
    language,
    JSON.stringify(settings),
  ]);
}

const UNDO_BATCH_MS = 200;

/** Removes what an import has brought; `id` null: one whose job is over already. `problem`: why, for the job. */
export async function undoImport(tenant: Tenant, id: string | null, problem: unknown): Promise<void> {
  for (let more = true; more; ) {
    const [row] = await tenant.call<{ more: boolean }>('select undo_import($1, $2, $3, $4) as more', [
      tenant.id,
      id,
      UNDO_BATCH_MS,
      JSON.stringify(problem),
    ]);
    more = row!.more;
  }
}
