import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import { Problem } from '../http/problem.ts';
import type { Output } from './output.ts';
import { openSpool, type Spool } from './spool.ts';
import { listParts, type Page, type Part, pagesOf, readPiece, readTenantState, type TenantState } from './sql.ts';
import { withoutUnreadable } from './unreadable.ts';

// The export of a whole tenant, consistent as of one seq. Mutable tables are read in one snapshot, which ends before the client is waited for.
// The log up to that seq and the tables that belong to it are then read by key without a snapshot. Only a trim removes their rows; if one
// ran meanwhile, the file gets no end line.

/** Version 2 adds state and what is built on it. Imports accept both. */
export const FORMAT_VERSION = 2;
/** A multiple of 3, so that the base64 pieces can be concatenated. */
const PIECE_BYTES = 48 * 1024;
const PIECES_A_READ = 16;
const PROGRESS_EVERY = 50_000;

export interface ExportStart {
  tenant_id: string;
  as_of_seq: number;
  tenantState: TenantState;
  /** Lines of the mutable tables. */
  spool: Spool;
  counts: Record<string, number>;
  parts: Part[];
  /** Number of lines that report an unreadable row. */
  unreadable: number;
}

export interface SpoolNeeds {
  spool_dir: string;
  /** The database has one session (the embedded engine): a snapshot over all pages would block everyone else. */
  oneSession: boolean;
}

/** Attempts to read the mutable tables without a snapshot before one is taken after all. */
const LOOSE_TRIES = 3;

/**
 * Reads the mutable tables and the state of the log at one moment. On the embedded engine, pages are read without a snapshot first: every
 * change of these tables appends to the log in its transaction, so the pages are consistent if the state of the log is unchanged afterwards.
 */
export async function readChangingRows(tenant: Tenant, { spool_dir, oneSession }: SpoolNeeds): Promise<ExportStart> {
  for (let i = 0; oneSession && i < LOOSE_TRIES; i += 1) {
    const start = await readViews(tenant, spool_dir, (work) => tenant.read(work));
    const now = await tenant.read((db) => readTenantState(db, tenant.id));
    if (JSON.stringify(now) === JSON.stringify(start.tenantState)) return start;
    await start.spool.close();
  }
  return tenant.snapshot((db) => readViews(tenant, spool_dir, (work) => work(db)));
}

async function readViews(
  tenant: Tenant,
  spool_dir: string,
  run: <T>(work: (db: Db) => Promise<T>) => Promise<T>,
): Promise<ExportStart> {
  const spool = openSpool(spool_dir);
  try {
    const tenantState = await run((db) => readTenantState(db, tenant.id));
    if (!tenantState) throw new Problem('not-found', 'The tenant no longer exists.');
    const parts = await run(listParts);
    const counts: ExportStart['counts'] = {};
    let unreadable = 0;
    const rows = (text: string, values: unknown[]) => run((db) => db.rows<Page>(text, values));
    for (const part of parts.filter(({ changes }) => changes))
      for await (const page of pagesOf(tenant.id, part, tenantState.last_seq, rows)) {
        const { text, replaced } = await withoutUnreadable(tenant, part, page);
        await spool.add(text);
        counts[part.part] = (counts[part.part] ?? 0) + page.n;
        unreadable += replaced;
      }
    return { tenant_id: tenant.id, as_of_seq: tenantState.last_seq, tenantState, spool, parts, counts, unreadable };
  } catch (error) {
    await spool.close();
    throw error;
  }
}

/** Writes the export. `assertStillAuthorized` is called regularly and throws if the export must end. */
export async function writeFull(
  tenant: Tenant,
  start: ExportStart,
  out: Output,
  assertStillAuthorized: () => Promise<void>,
): Promise<void> {
  const { tenantState, as_of_seq } = start;
  const counts: Record<string, number> = { tenant: 1, ...start.counts };
  const total = tenantState.event_count;
  await out.write(
    line({
      type: 'header',
      format: 'agent-memory',
      format_version: FORMAT_VERSION,
      tenant_id: tenant.id,
      created_at: new Date().toISOString(),
      partial: false,
      as_of_seq,
      oldest_seq: tenantState.oldest_seq,
      stored_bytes: tenantState.stored_bytes,
      counts: { ...start.counts, event: total },
    }),
  );
  await out.write(line({ type: 'tenant', language: tenantState.language, settings: tenantState.settings }));
  for await (const bytes of start.spool.read()) await out.write(bytes);
  let reported = 0;
  let { unreadable } = start;
  for (const part of start.parts.filter(({ changes }) => !changes))
    for await (const page of pagesOf(tenant.id, part, as_of_seq, (text, values) => tenant.call(text, values))) {
      await assertStillAuthorized();
      if (part.has_bytes) counts.piece = (counts.piece ?? 0) + (await writeArtifacts(tenant, page.lines, out));
      else {
        const { text, replaced } = await withoutUnreadable(tenant, part, page);
        await out.write(text);
        unreadable += replaced;
      }
      counts[part.part] = (counts[part.part] ?? 0) + page.n;
      if (part.part !== 'event' || counts.event! - reported < PROGRESS_EVERY) continue;
      reported = counts.event!;
      await out.write(line({ type: 'progress', done: reported, total }));
    }
  if (unreadable > 0) counts.unreadable = unreadable;
  const now = await tenant.read((db) => readTenantState(db, tenant.id));
  if (!now || isTrimmed(tenantState, now)) throw new Problem('unavailable', 'The log was trimmed during the export.');
  await out.write(line({ type: 'end', counts, sha256: out.digest() }));
}

/** Appends change neither value. */
const isTrimmed = (was: TenantState, is: TenantState): boolean =>
  is.oldest_seq !== was.oldest_seq || is.last_seq - is.event_count !== was.last_seq - was.event_count;

export const line = (value: unknown): string => `${JSON.stringify(value)}\n`;

/** Writes each artifact, then its bytes. Returns the number of pieces. */
async function writeArtifacts(tenant: Tenant, lines: string, out: Output): Promise<number> {
  let pieces = 0;
  for (const text of lines.split('\n')) {
    const { artifact_id, byte_count } = JSON.parse(text) as { artifact_id: string; byte_count: number };
    await out.write(`${text}\n`);
    for (let at = 0; at < byte_count; at += PIECES_A_READ * PIECE_BYTES) {
      const bytes = await readPiece(tenant, artifact_id, at, PIECES_A_READ * PIECE_BYTES);
      // erased meanwhile: the artifact is incomplete, so the file gets no end line
      if (!bytes || bytes.length === 0) throw new Problem('unavailable', 'An artifact was erased during the export.');
      let text = '';
      for (let from = 0; from < bytes.length; from += PIECE_BYTES, pieces += 1)
        text += line({ type: 'piece', artifact_id, at: at + from, base64: bytes.toString('base64', from, from + PIECE_BYTES) });
      await out.write(text);
    }
  }
  return pieces;
}
