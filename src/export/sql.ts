import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import { newId } from '../id.ts';

/** What changes: read in one snapshot. The order of both lists is that of the file, and of portable_parts in migrations/0017. */
export const views = ['memory', 'edit', 'edit_event', 'overlay'] as const;
/** What a log of a given length has for good. */
export const record = ['artifact', 'event', 'memory_version'] as const;
export type Part = (typeof views)[number] | (typeof record)[number];

const PAGE_ROWS = 2_000;
const ARTIFACTS_A_PAGE = 100;

export interface Page {
  lines: string;
  n: number;
  last: unknown;
}

/** The rows of a part as lines, page by page; `read` says on which connection. */
export async function* pagesOf(
  tenant_id: string,
  part: Part,
  upto: number,
  read: (work: (db: Db) => Promise<Page | undefined>) => Promise<Page | undefined>,
): AsyncGenerator<Page> {
  const limit = part === 'artifact' ? ARTIFACTS_A_PAGE : PAGE_ROWS;
  for (let after: unknown = null; ; ) {
    const page = await read((db) =>
      db.row<Page>('select lines, n, last from export_page($1, $2, $3, $4, $5)', [
        tenant_id,
        part,
        after === null ? null : JSON.stringify(after),
        upto,
        limit,
      ]),
    );
    if (!page || page.n === 0) return;
    yield page;
    after = page.last;
  }
}

export interface Standing {
  last_seq: number;
  oldest_seq: number;
  event_count: number;
  stored_bytes: number;
  language: string;
  settings: Record<string, unknown>;
}

export const readStanding = (db: Db, tenant_id: string): Promise<Standing | undefined> =>
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

export interface Begun {
  status: 'begun' | 'stale';
  stale: string | null;
  /** How many bytes the tenant may store; null: no bound. */
  room: number | null;
}

/** Marks the tenant if it is empty; AM409 otherwise. */
export async function beginImport(tenant: Tenant, import_id: string, stale_s: number): Promise<Begun> {
  const [row] = await tenant.call<Begun>('select * from begin_import($1, $2, $3)', [tenant.id, import_id, stale_s]);
  return row!;
}

export const beatImport = (tenant: Tenant, import_id: string): Promise<unknown> =>
  tenant.call('select beat_import($1, $2)', [tenant.id, import_id]);

/** `json`: an array of lines. */
export async function insertRows(tenant: Tenant, import_id: string, part: Part, json: string): Promise<void> {
  await tenant.call('select import_rows($1, $2, $3, $4)', [tenant.id, import_id, part, json]);
}

export async function insertArtifact(tenant: Tenant, import_id: string, line: string, bytes: Buffer): Promise<void> {
  await tenant.call('select import_artifact($1, $2, $3, $4)', [tenant.id, import_id, line, bytes]);
}

export interface Clock {
  last_seq: number;
  oldest_seq: number;
  event_count: number;
  stored_bytes: number;
}

/** The tenant as imported, and the job that makes its passages: both or neither. */
export async function finishImport(
  tenant: Tenant,
  import_id: string,
  clock: Clock,
  { language, settings }: Pick<Standing, 'language' | 'settings'>,
  started_by: string,
): Promise<string> {
  const [row] = await tenant.call<{ job_id: string }>('select finish_import($1, $2, $3, $4, $5, $6, $7) as job_id', [
    tenant.id,
    import_id,
    JSON.stringify(clock),
    language,
    JSON.stringify(settings),
    newId('job'),
    started_by,
  ]);
  return row!.job_id;
}

const UNDO_BATCH_MS = 200;

/** Removes what an import has brought. `stale_s`: only if it was not heard of for so long. */
export async function undoImport(tenant: Tenant, import_id: string | null, stale_s?: number): Promise<void> {
  for (let more = true; more; ) {
    const [row] = await tenant.call<{ more: boolean }>('select undo_import($1, $2, $3, $4) as more', [
      tenant.id,
      import_id,
      UNDO_BATCH_MS,
      stale_s,
    ]);
    more = row!.more;
  }
}
