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

// Imports the lines of an export into a marked tenant. The file is untrusted: every value is checked against its schema, and so are the order
// of the lines, the density of seqs, and the counts and hash at the end.

export interface ImportLimits {
  json: JsonLimits;
  /** The schema of each type of line. */
  rows: Record<string, Portable>;
  maxArtifactBytes: number;
  /** Memory reserved for bodies: an artifact is counted until it is stored. */
  bytesInFlight: BytesInFlight;
}

export interface ImportSettings extends ImportLimits {
  /** With the policy of the tenant, not that of the file. */
  screener: AsyncScreener;
}

export interface ImportedFile {
  header: Header;
  tenant: TenantLine;
  counts: Record<string, number>;
  /** Seq of the first event; without events, the beginning of the log according to the header. */
  oldest_seq: number;
  event_count: number;
  /** Approximate bytes of the rows as appends count them: text and passages. */
  bytes: number;
}

interface ArtifactLine {
  artifact_id: string;
  byte_count: number;
  sha256: string;
}

interface ImportProgress {
  batch: Batch;
  /** The types of lines in their required order; pieces follow their artifact. */
  lineTypes: string[];
  position: number;
  counts: Record<string, number>;
  header?: Header;
  tenant?: TenantLine;
  artifact?: { line: ArtifactLine; text: string; pieces: BodyBuffer; hash: Hash };
  firstSeq?: number;
  lastSeq?: number;
  bytes: number;
  ended: boolean;
}

/** `max_bytes`: bytes that the tenant may still store; null: unlimited. */
export async function importLines(
  tenant: Tenant,
  importJob: Import,
  max_bytes: number | null,
  lines: AsyncIterable<Line>,
  settings: ImportSettings,
): Promise<ImportedFile> {
  const lineTypes = ['header', 'tenant', ...(await tenant.read(listParts)).map(({ part }) => part), 'end'];
  const state: ImportProgress = {
    batch: openBatch(tenant, importJob),
    lineTypes,
    position: -1,
    counts: {},
    bytes: 0,
    ended: false,
  };
  let number = 0;
  try {
    for await (const line of lines) {
      number = line.number;
      await importLine(tenant, importJob, state, line, settings);
      if (max_bytes !== null && state.bytes > max_bytes)
        throw new Problem('quota-exceeded', 'The import exceeds the storage quota of the tenant.');
    }
  } catch (error) {
    // an error of an earlier line takes precedence
    await state.batch.flush();
    throw error;
  } finally {
    state.artifact?.pieces.clear();
  }
  if (!state.header || !state.tenant || !state.ended)
    throw lineProblem(number + 1, 'the file is incomplete: the end line is missing');
  return {
    header: state.header,
    tenant: state.tenant,
    counts: state.counts,
    oldest_seq: state.firstSeq ?? state.header.oldest_seq,
    event_count: state.counts.event ?? 0,
    bytes: state.bytes,
  };
}

async function importLine(
  tenant: Tenant,
  importJob: Import,
  state: ImportProgress,
  line: Line,
  settings: ImportSettings,
): Promise<void> {
  const { number } = line;
  if (state.ended) throw lineProblem(number, 'the end line must be the last line');
  const value = read(line, settings.json);
  const { type } = value;
  if (typeof type !== 'string') throw lineProblem(number, 'required', '/type');
  if (state.artifact && type !== 'piece') throw lineProblem(number, 'the bytes of the previous artifact are incomplete');
  if (!['progress', 'piece', 'unreadable'].includes(type)) assertOrder(state, number, type);
  if (type === 'header') {
    state.header = parse(header, value, number);
    // each event counts twice in the progress: when it is imported and when it is indexed
    await renewImport(tenant, importJob, 2 * (state.header.counts.event ?? 0));
  }
  if (type === 'tenant') {
    state.tenant = parse(tenantLine, value, number);
    await rejectSecrets(settings.screener, number, value, []);
  } else if (type === 'end') await verifyEnd(state, line, value);
  else if (type === 'unreadable') parse(unreadableRow, value, number);
  else if (type === 'piece') await addPiece(tenant, importJob, state, number, parse(piece, value, number), settings);
  else if (Object.hasOwn(settings.rows, type))
    await importRow(tenant, importJob, state, line, parse(settings.rows[type]!.row, value, number), settings);
  if (!['header', 'progress', 'end'].includes(type)) state.counts[type] = (state.counts[type] ?? 0) + 1;
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
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw lineProblem(number, 'must be an object');
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

/** Throws unless the type of a line is allowed at this position. The header and the tenant come once and first. */
function assertOrder(state: ImportProgress, number: number, type: string): void {
  const position = state.lineTypes.indexOf(type);
  if (position < 0) throw lineProblem(number, 'unknown line type', '/type');
  const next = position === state.position + 1;
  if (position < state.position || (!next && (position <= 1 || state.position < 1)))
    throw lineProblem(number, `a line of type ${type} is not allowed here`, '/type');
  state.position = position;
}

async function importRow(
  tenant: Tenant,
  importJob: Import,
  state: ImportProgress,
  line: Line,
  row: Record<string, unknown>,
  settings: ImportSettings,
): Promise<void> {
  const { number } = line;
  const { freeText = [], transforms } = settings.rows[row.type as string]!;
  await rejectSecrets(settings.screener, number, row, freeText);
  const last = state.header!.as_of_seq;
  for (const [field, value] of Object.entries(row))
    if (/^(?:.*_)?seq$/.test(field) && typeof value === 'number' && value > last)
      throw lineProblem(number, `must be at most ${last}, the last seq of the export`, `/${field}`);
  if (row.type === 'artifact') return beginArtifact(tenant, importJob, state, line, row as unknown as ArtifactLine, settings);
  if (row.type === 'event') {
    assertSeq(state, number, row.seq as number, row.carried_at !== null);
    // a second time, for its passages
    state.bytes += line.bytes.length;
  }
  state.bytes += line.bytes.length;
  await state.batch.add(row.type as string, number, transforms ? Buffer.from(JSON.stringify(row)) : line.bytes);
}

/** Throws unless carried events come first with increasing seqs, followed by the log without gaps. */
function assertSeq(state: ImportProgress, number: number, seq: number, carried: boolean): void {
  const { oldest_seq } = state.header!;
  const before = state.lastSeq ?? 0;
  const started = state.firstSeq !== undefined;
  if (started ? carried || seq !== before + 1 : seq <= before || (!carried && seq < oldest_seq))
    throw lineProblem(number, `seq ${seq} does not follow ${state.lastSeq ?? oldest_seq - 1}`, '/seq');
  if (!carried) state.firstSeq ??= seq;
  state.lastSeq = seq;
}

async function beginArtifact(
  tenant: Tenant,
  importJob: Import,
  state: ImportProgress,
  { number, bytes }: Line,
  line: ArtifactLine,
  settings: ImportSettings,
): Promise<void> {
  if (line.byte_count > settings.maxArtifactBytes)
    throw lineProblem(number, `must be at most ${settings.maxArtifactBytes} bytes`, '/byte_count');
  await state.batch.flush();
  state.bytes += bytes.length + line.byte_count;
  state.artifact = {
    line,
    text: bytes.toString(),
    pieces: openCountedBuffer(settings.bytesInFlight),
    hash: createHash('sha256'),
  };
  if (line.byte_count === 0) await storeArtifact(tenant, importJob, state, number, settings);
}

async function addPiece(
  tenant: Tenant,
  importJob: Import,
  state: ImportProgress,
  number: number,
  pieceLine: z.output<typeof piece>,
  settings: ImportSettings,
): Promise<void> {
  const { artifact } = state;
  if (artifact?.line.artifact_id !== pieceLine.artifact_id || pieceLine.at !== artifact.pieces.size)
    throw lineProblem(number, 'the piece does not continue its artifact');
  const bytes = Buffer.from(pieceLine.base64, 'base64');
  const got = artifact.pieces.size + bytes.length;
  if (bytes.length === 0 || got > artifact.line.byte_count)
    throw lineProblem(number, 'must contain at least one byte, and no more bytes than the artifact still lacks', '/base64');
  artifact.pieces.add(bytes);
  // piece by piece, because hashing 32 MiB at once would block the event loop
  artifact.hash.update(bytes);
  if (got === artifact.line.byte_count) await storeArtifact(tenant, importJob, state, number, settings);
}

async function storeArtifact(
  tenant: Tenant,
  importJob: Import,
  state: ImportProgress,
  number: number,
  { screener }: ImportSettings,
): Promise<void> {
  const { line, text, pieces, hash } = state.artifact!;
  const bytes = pieces.join();
  if (`\\x${hash.digest('hex')}` !== line.sha256) throw lineProblem(number, 'the bytes of the artifact do not match its sha256');
  await rejectSecretBytes(screener, number, bytes);
  await state.batch.guard(number, () => insertArtifact(tenant, importJob, text, bytes));
  pieces.clear();
  delete state.artifact;
}

async function verifyEnd(state: ImportProgress, { number, before }: Line, value: unknown): Promise<void> {
  const endLine = parse(end, value, number);
  await state.batch.flush();
  const differing = [...new Set([...Object.keys(endLine.counts), ...Object.keys(state.counts)])].find(
    (type) => (endLine.counts[type] ?? 0) !== (state.counts[type] ?? 0),
  );
  if (differing !== undefined)
    throw lineProblem(number, `the number of lines of type ${differing.slice(0, 64)} does not match`, '/counts');
  if (endLine.sha256 !== before) throw lineProblem(number, 'the preceding lines do not match the sha256', '/sha256');
  const { as_of_seq, oldest_seq } = state.header!;
  if ((state.firstSeq === undefined ? oldest_seq - 1 : state.lastSeq) !== as_of_seq)
    throw lineProblem(number, `the log ends before seq ${as_of_seq}`);
  state.ended = true;
}
