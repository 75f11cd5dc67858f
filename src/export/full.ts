import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import { Problem } from '../http/problem.ts';
import type { Output } from './output.ts';
import { openSpool, type Spool } from './spool.ts';
import { listParts, type Page, type Part, pagesOf, readPiece, readTenantState, type TenantState } from './sql.ts';
import { withoutUnreadable } from './unreadable.ts';

// The tenant as lines. Everything is as of one seq: what changes is read in one snapshot that ends before the client is waited for;
// the log up to that seq and what hangs on it are walked by their keys without one. Only a trim drops rows of these: where one came
// between, the file has no end.

export const FORMAT_VERSION = 1;
/** A multiple of 3, so that pieces of base64 join. */
const PIECE_BYTES = 48 * 1024;
const PIECES_A_READ = 16;
const PROGRESS_EVERY = 50_000;

export interface ExportStart {
  tenant_id: string;
  as_of_seq: number;
  tenantState: TenantState;
  /** Lines of what changes. */
  spool: Spool;
  counts: Record<string, number>;
  parts: Part[];
  /** Lines that name a row which cannot be read. */
  unreadable: number;
}

export interface SpoolNeeds {
  spool_dir: string;
  /** The database has one session (the embedded engine): a snapshot held over all pages keeps everyone else waiting. */
  oneSession: boolean;
}

/** Times that the views are read without a snapshot before it is taken after all. */
const LOOSE_TRIES = 3;

/**
 * What changes, and where the log stands, at one moment. Every change of a view appends to the log in its transaction, so pages read
 * one by one are of one moment too where the log stands at the end as it stood at the beginning.
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
  using: <T>(work: (db: Db) => Promise<T>) => Promise<T>,
): Promise<ExportStart> {
  const spool = openSpool(spool_dir);
  try {
    const tenantState = await using((db) => readTenantState(db, tenant.id));
    if (!tenantState) throw new Problem('not-found', 'The tenant no longer exists.');
    const parts = await using(listParts);
    const counts: ExportStart['counts'] = {};
    let unreadable = 0;
    const rows = (text: string, values: unknown[]) => using((db) => db.rows<Page>(text, values));
    for (const part of parts.filter(({ changes }) => changes))
      for await (const page of pagesOf(tenant.id, part, tenantState.last_seq, rows)) {
        const { text, skipped } = await withoutUnreadable(tenant, part, page);
        await spool.add(text);
        counts[part.part] = (counts[part.part] ?? 0) + page.n;
        unreadable += skipped;
      }
    return { tenant_id: tenant.id, as_of_seq: tenantState.last_seq, tenantState, spool, parts, counts, unreadable };
  } catch (error) {
    await spool.close();
    throw error;
  }
}

/** `alive` is called now and then and throws where the export may not go on. */
export async function writeFull(tenant: Tenant, start: ExportStart, out: Output, alive: () => Promise<void>): Promise<void> {
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
  let told = 0;
  let { unreadable } = start;
  for (const part of start.parts.filter(({ changes }) => !changes))
    for await (const page of pagesOf(tenant.id, part, as_of_seq, (text, values) => tenant.call(text, values))) {
      await alive();
      if (part.has_bytes) counts.piece = (counts.piece ?? 0) + (await writeArtifacts(tenant, page.lines, out));
      else {
        const { text, skipped } = await withoutUnreadable(tenant, part, page);
        await out.write(text);
        unreadable += skipped;
      }
      counts[part.part] = (counts[part.part] ?? 0) + page.n;
      if (part.part !== 'event' || counts.event! - told < PROGRESS_EVERY) continue;
      told = counts.event!;
      await out.write(line({ type: 'progress', done: told, total }));
    }
  if (unreadable > 0) counts.unreadable = unreadable;
  const now = await tenant.read((db) => readTenantState(db, tenant.id));
  if (!now || isTrimmed(tenantState, now)) throw new Problem('unavailable', 'The log was trimmed while it was exported.');
  await out.write(line({ type: 'end', counts, sha256: out.digest() }));
}

/** Appends change neither of these. */
const isTrimmed = (was: TenantState, is: TenantState): boolean =>
  is.oldest_seq !== was.oldest_seq || is.last_seq - is.event_count !== was.last_seq - was.event_count;

export const line = (value: unknown): string => `${JSON.stringify(value)}\n`;

/** Each artifact, then its bytes. Returns how many pieces they were. */
async function writeArtifacts(tenant: Tenant, lines: string, out: Output): Promise<number> {
  let pieces = 0;
  for (const text of lines.split('\n')) {
    const { artifact_id, byte_count } = JSON.parse(text) as { artifact_id: string; byte_count: number };
    await out.write(`${text}\n`);
    for (let at = 0; at < byte_count; at += PIECES_A_READ * PIECE_BYTES) {
      const bytes = await readPiece(tenant, artifact_id, at, PIECES_A_READ * PIECE_BYTES);
      // erased meanwhile: half of an artifact is none, and the file has no end
      if (!bytes || bytes.length === 0) throw new Problem('unavailable', 'An artifact was erased while it was exported.');
      let text = '';
      for (let from = 0; from < bytes.length; from += PIECE_BYTES, pieces += 1)
        text += line({ type: 'piece', artifact_id, at: at + from, base64: bytes.toString('base64', from, from + PIECE_BYTES) });
      await out.write(text);
    }
  }
  return pieces;
}
