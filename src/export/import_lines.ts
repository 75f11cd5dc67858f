import { createHash, type Hash } from 'node:crypto';
import type { z } from 'zod';
import type { Tenant } from '../db/tenant.ts';
import { type BodyBuffer, type BytesInFlight, openCountedBuffer } from '../http/body_buffer.ts';
import { type JsonLimits, parseJson } from '../http/json.ts';
import { Problem } from '../http/problem.ts';
import type { Portable } from '../portable.ts';
import type { AsyncScreener } from '../secrets/index.ts';
import { type Batch, openBatch } from './batch.ts';
import { type Line, lineProblem } from './lines.ts';
import { end, type Header, header, piece, type TenantLine, tenantLine } from './schemas.ts';
import { rejectSecretBytes, rejectSecrets } from './screen.ts';
import { type Import, insertArtifact, listParts, renewImport } from './sql.ts';
import { unreadableRow } from './unreadable.ts';

// Takes the lines of an export into a tenant that is marked for it. Nothing is believed: each value by its schema, the order, that
// seq is dense, the counts and the hash at the end.

export interface ImportLimits {
  json: JsonLimits;
  /** What a line of each type may be. */
  rows: Record<string, Portable>;
  maxArtifactBytes: number;
  /** What the daemon holds of bodies: an artifact is counted until it is stored. */
  bytesInFlight: BytesInFlight;
}

export interface ImportSettings extends ImportLimits {
  /** Of the tenant as it is, not as the file would have it. */
  screener: AsyncScreener;
}

export interface ImportedFile {
  header: Header;
  tenant: TenantLine;
  counts: Record<string, number>;
  /** Of the first event; without one, where the log would begin. */
  oldest_seq: number;
  event_count: number;
  /** About what the rows take, as appends count it: text and passages. */
  bytes: number;
}

interface ArtifactLine {
  artifact_id: string;
  byte_count: number;
  sha256: string;
}

interface ImportProgress {
  batch: Batch;
  /** The types of lines, in this order and no other; pieces follow their artifact. */
  places: string[];
  place: number;
  counts: Record<string, number>;
  header?: Header;
  tenant?: TenantLine;
  artifact?: { line: ArtifactLine; text: string; pieces: BodyBuffer; hash: Hash };
  firstSeq?: number;
  lastSeq?: number;
  bytes: number;
  ended: boolean;
}

/** `room`: how many bytes the tenant may store; null: no bound. */
export async function importLines(
  tenant: Tenant,
  held: Import,
  room: number | null,
  lines: AsyncIterable<Line>,
  settings: ImportSettings,
): Promise<ImportedFile> {
  const places = ['header', 'tenant', ...(await tenant.read(listParts)).map(({ part }) => part), 'end'];
  const at: ImportProgress = { batch: openBatch(tenant, held), places, place: -1, counts: {}, bytes: 0, ended: false };
  let number = 0;
  try {
    for await (const line of lines) {
      number = line.number;
      await importLine(tenant, held, at, line, settings);
      if (room !== null && at.bytes > room)
        throw new Problem('quota-exceeded', 'The import exceeds the storage quota of the tenant.');
    }
  } catch (error) {
    // where an earlier line was refused meanwhile, that is told
    await at.batch.flush();
    throw error;
  } finally {
    at.artifact?.pieces.clear();
  }
  if (!at.header || !at.tenant || !at.ended) throw lineProblem(number + 1, 'the file has no end: it is cut off');
  return {
    header: at.header,
    tenant: at.tenant,
    counts: at.counts,
    oldest_seq: at.firstSeq ?? at.header.oldest_seq,
    event_count: at.counts.event ?? 0,
    bytes: at.bytes,
  };
}

async function importLine(tenant: Tenant, held: Import, at: ImportProgress, line: Line, settings: ImportSettings): Promise<void> {
  const { number } = line;
  if (at.ended) throw lineProblem(number, 'there is something after the end');
  const value = read(line, settings.json);
  const { type } = value;
  if (typeof type !== 'string') throw lineProblem(number, 'a line has a type', '/type');
  if (at.artifact && type !== 'piece') throw lineProblem(number, 'the bytes of the artifact before are not all there');
  if (!['progress', 'piece', 'unreadable'].includes(type)) assertOrder(at, number, type);
  if (type === 'header') {
    at.header = parse(header, value, number);
    // each event once when it comes and once when it is indexed
    await renewImport(tenant, held, 2 * (at.header.counts.event ?? 0));
  }
  if (type === 'tenant') {
    at.tenant = parse(tenantLine, value, number);
    await rejectSecrets(settings.screener, number, value, []);
  } else if (type === 'end') await verifyEnd(at, line, value);
  else if (type === 'unreadable') parse(unreadableRow, value, number);
  else if (type === 'piece') await addPiece(tenant, held, at, number, parse(piece, value, number), settings);
  else if (Object.hasOwn(settings.rows, type))
    await importRow(tenant, held, at, line, parse(settings.rows[type]!.row, value, number), settings);
  if (!['header', 'progress', 'end'].includes(type)) at.counts[type] = (at.counts[type] ?? 0) + 1;
}

function read({ bytes, number }: Line, limits: JsonLimits): Record<string, unknown> {
  let value: unknown;
  try {
    value = parseJson(bytes, limits);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    const first = error.errors?.[0];
    throw lineProblem(number, first?.detail ?? error.message, first?.pointer?.slice(1) ?? '');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw lineProblem(number, 'not an object');
  return value as Record<string, unknown>;
}

function parse<T extends z.ZodType>(schema: T, value: unknown, number: number): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const path = issue.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0]!] : issue.path;
  const detail = issue.code === 'unrecognized_keys' ? 'unknown field' : issue.message;
  throw lineProblem(number, detail, path.map((part) => `/${String(part).slice(0, 200)}`).join(''));
}

/** Each type at its place in the file; the header and the tenant once. */
function assertOrder(at: ImportProgress, number: number, type: string): void {
  const place = at.places.indexOf(type);
  if (place < 0) throw lineProblem(number, 'unknown line type', '/type');
  const next = place === at.place + 1;
  // the header, then the tenant, each once
  if (place < at.place || (!next && (place <= 1 || at.place < 1)))
    throw lineProblem(number, `a line of type ${type} may not stand here`, '/type');
  at.place = place;
}

async function importRow(
  tenant: Tenant,
  held: Import,
  at: ImportProgress,
  line: Line,
  row: Record<string, unknown>,
  settings: ImportSettings,
): Promise<void> {
  const { number } = line;
  await rejectSecrets(settings.screener, number, row, settings.rows[row.type as string]!.freeText ?? []);
  const last = at.header!.as_of_seq;
  for (const [field, value] of Object.entries(row))
    if (/^(?:.*_)?seq$/.test(field) && typeof value === 'number' && value > last)
      throw lineProblem(number, `a seq beyond ${last}`, `/${field}`);
  if (row.type === 'artifact') return beginArtifact(tenant, held, at, line, row as unknown as ArtifactLine, settings);
  if (row.type === 'event') {
    assertSeq(at, number, row.seq as number, row.carried_at !== null);
    // once as its passages
    at.bytes += line.bytes.length;
  }
  at.bytes += line.bytes.length;
  await at.batch.add(row.type as string, number, line.bytes);
}

/** What was carried comes first, in any growing order; from the log's beginning on no seq is missing. */
function assertSeq(at: ImportProgress, number: number, seq: number, carried: boolean): void {
  const { oldest_seq } = at.header!;
  const before = at.lastSeq ?? 0;
  const begun = at.firstSeq !== undefined;
  if (begun ? carried || seq !== before + 1 : seq <= before || (!carried && seq < oldest_seq))
    throw lineProblem(number, `seq ${seq} does not follow ${at.lastSeq ?? oldest_seq - 1}`, '/seq');
  if (!carried) at.firstSeq ??= seq;
  at.lastSeq = seq;
}

async function beginArtifact(
  tenant: Tenant,
  held: Import,
  at: ImportProgress,
  { number, bytes }: Line,
  line: ArtifactLine,
  settings: ImportSettings,
): Promise<void> {
  if (line.byte_count > settings.maxArtifactBytes)
    throw lineProblem(number, `an artifact of more than ${settings.maxArtifactBytes} bytes`, '/byte_count');
  await at.batch.flush();
  at.bytes += bytes.length + line.byte_count;
  at.artifact = { line, text: bytes.toString(), pieces: openCountedBuffer(settings.bytesInFlight), hash: createHash('sha256') };
  if (line.byte_count === 0) await storeArtifact(tenant, held, at, number, settings);
}

async function addPiece(
  tenant: Tenant,
  held: Import,
  at: ImportProgress,
  number: number,
  given: z.output<typeof piece>,
  settings: ImportSettings,
): Promise<void> {
  const { artifact } = at;
  if (artifact?.line.artifact_id !== given.artifact_id || given.at !== artifact.pieces.size)
    throw lineProblem(number, 'a piece that does not belong here');
  const bytes = Buffer.from(given.base64, 'base64');
  const got = artifact.pieces.size + bytes.length;
  if (bytes.length === 0 || got > artifact.line.byte_count)
    throw lineProblem(number, 'not the bytes that the artifact has left', '/base64');
  artifact.pieces.add(bytes);
  // piece by piece: 32 MiB at once hold up the event loop
  artifact.hash.update(bytes);
  if (got === artifact.line.byte_count) await storeArtifact(tenant, held, at, number, settings);
}

async function storeArtifact(
  tenant: Tenant,
  held: Import,
  at: ImportProgress,
  number: number,
  { screener }: ImportSettings,
): Promise<void> {
  const { line, text, pieces, hash } = at.artifact!;
  const bytes = pieces.join();
  if (`\\x${hash.digest('hex')}` !== line.sha256) throw lineProblem(number, 'the artifact’s bytes are not those of its sha256');
  await rejectSecretBytes(screener, number, bytes);
  await at.batch.guard(number, () => insertArtifact(tenant, held, text, bytes));
  pieces.clear();
  delete at.artifact;
}

async function verifyEnd(at: ImportProgress, { number, before }: Line, value: unknown): Promise<void> {
  const told = parse(end, value, number);
  await at.batch.flush();
  const differing = [...new Set([...Object.keys(told.counts), ...Object.keys(at.counts)])].find(
    (type) => (told.counts[type] ?? 0) !== (at.counts[type] ?? 0),
  );
  if (differing !== undefined)
    throw lineProblem(number, `not as many lines of type ${differing.slice(0, 64)} as are counted`, '/counts');
  if (told.sha256 !== before) throw lineProblem(number, 'the lines before are not those that were exported', '/sha256');
  const { as_of_seq, oldest_seq } = at.header!;
  if ((at.firstSeq === undefined ? oldest_seq - 1 : at.lastSeq) !== as_of_seq)
    throw lineProblem(number, `the log ends before seq ${as_of_seq}`);
  at.ended = true;
}
