import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';

/** A table that is exported with one line per row, as its migration declares it. */
export interface Part {
  part: string;
  /** The columns of its key. */
  keys: string[];
  /** Its rows change, so they are read in one snapshot. Rows of other parts are immutable up to a given seq. */
  changes: boolean;
  /** The bytes of each row follow its line as pieces. */
  has_bytes: boolean;
  /** Columns of type timestamptz, and those of them that are not null. */
  times: string[];
  needed_times: string[];
}

/** Returns the parts in the order of the file. */
export const listParts = (db: Db): Promise<Part[]> =>
  db.rows<Part>('select part, keys, changes, has_bytes, times, needed_times from list_parts()', []);

const PAGE_ROWS = 1_000;
const WITH_BYTES_A_PAGE = 100;

export interface Page {
  lines: string;
  n: number;
  last: unknown;
}

/** Yields the rows of a part as lines, page by page. The next page is read while one is consumed. `rows` runs a statement. */
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
    // awaited later, or never if the client has disconnected
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
    // waits until the connection is idle
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

/** Returns a piece of an artifact; undefined if the artifact no longer exists. */
export async function readPiece(tenant: Tenant, artifact_id: string, from: number, length: number): Promise<Buffer | undefined> {
  const row = await tenant.read((db) =>
    db.row<{ piece: Buffer }>(
      'select substring(bytes from $3::int + 1 for $4::int) as piece from artifacts where tenant_id = $1 and artifact_id = $2',
      [tenant.id, artifact_id, from, length],
    ),
  );
  return row?.piece;
}

/** An import is a job; the daemon that receives the file holds its lease. */
export interface Import {
  id: string;
  lease_ms: number;
}

/** Marks the tenant as importing; AM409 if it is not empty. Returns the bytes that it may store; null: unlimited. */
export async function beginImport(tenant: Tenant, { id, lease_ms }: Import, started_by: string): Promise<number | null> {
  const row = await tenant.write((db) =>
    db.row<{ max_bytes: number | null }>('select begin_import($1, $2, $3, $4) as max_bytes', [
      tenant.id,
      id,
      started_by,
      lease_ms,
    ]),
  );
  return row!.max_bytes;
}

/** Renews the lease. `total`: the total of the job's progress, once it is known. */
export const renewImport = (tenant: Tenant, { id, lease_ms }: Import, total?: number): Promise<unknown> =>
  tenant.call('select renew_import($1, $2, 0, $3, $4)', [tenant.id, id, total, lease_ms]);

/** `json`: an array of rows. */
export async function insertRows(tenant: Tenant, { id, lease_ms }: Import, part: string, json: string): Promise<void> {
  await tenant.call('select import_rows($1, $2, $3, $4, $5)', [tenant.id, id, part, json, lease_ms]);
}

export async function insertArtifact(tenant: Tenant, { id, lease_ms }: Import, line: string, bytes: Buffer): Promise<void> {
  await tenant.call('select import_artifact($1, $2, $3, $4, $5)', [tenant.id, id, line, bytes, lease_ms]);
}

const ROWS_A_STEP = 5_000;

/** Returns the fault of the first imported row that does not match the log. */
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

/** Ends the import and hands the job over to build the passages, in one transaction. */
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

/** Removes the imported rows. `id` null: those of an import whose job has ended. `problem`: the failure of the job. */
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
