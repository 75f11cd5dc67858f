import { closeSync, existsSync, fstatSync, fsyncSync, mkdirSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { Problem } from '../http/problem.ts';
import type { Sealed } from '../seal.ts';
import { subjectKinds } from './schemas.ts';

// The ledger of erasures: a file outside the database and its backups that lists what to erase again after a restore. The subjects are
// encrypted.

const sealed = z.custom<Sealed>((value) => typeof value === 'object' && value !== null);

const entryLine = z.object({
  at: z.string(),
  state: z.enum(['started', 'completed', 'refused']),
  job_id: z.string(),
  tenant_id: z.string(),
  kind: z.enum([...subjectKinds, 'tenant']),
  upto_seq: z.int(),
  keep_shared: z.boolean().optional(),
  subject: sealed,
});
export type LedgerEntry = z.output<typeof entryLine>;

const controlLine = z.object({
  at: z.string(),
  kind: z.literal('control'),
  control_id: z.string(),
  tenant_id: z.string(),
  subject: sealed,
});
/** A change that a restore must not undo (controls.ts). */
export type ControlEntry = z.output<typeof controlLine>;

export interface Ledger {
  /** Appends an entry durably: it is synced to disk when the function returns. */
  append(entry: LedgerEntry | ControlEntry): void;
}

export const openLedger = (file: string): Ledger => ({
  append: (entry) => {
    try {
      mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
      writeSynced(file, 'a+', (ledger) => writeFileSync(ledger, `${endsMidLine(ledger) ? '\n' : ''}${JSON.stringify(entry)}\n`));
      writeSynced(dirname(file), 'r', () => undefined);
    } catch (cause) {
      // retried, because a full or missing disk may become available again
      throw new Problem('unavailable', 'The erasure ledger cannot be written.', { cause, headers: { 'Retry-After': '60' } });
    }
  },
});

/** Opens a file or directory, writes to it and syncs it to disk. */
function writeSynced(path: string, flags: string, write: (opened: number) => void): void {
  const opened = openSync(path, flags, 0o600);
  try {
    write(opened);
    fsyncSync(opened);
  } finally {
    closeSync(opened);
  }
}

/** Returns whether the last line is incomplete after a crash. The next entry must then start on a new line. */
function endsMidLine(ledger: number): boolean {
  const { size } = fstatSync(ledger);
  const last = Buffer.alloc(1);
  return size > 0 && readSync(ledger, last, 0, 1, size - 1) === 1 && last[0] !== 0x0a;
}

export interface LedgerRead {
  entries: LedgerEntry[];
  controls: ControlEntry[];
  /** Numbers of lines that cannot be parsed, for example after a crash. Their subjects are unknown. */
  unreadable: number[];
}

/**
 * Returns all controls, and of the erasures one entry per job, without refused ones: for an erasure its latest `started` entry, for the
 * deletion of a tenant its latest entry.
 */
export function readLedger(file: string): LedgerRead {
  if (!existsSync(file)) throw new Error(`There is no ledger ${file}. Set --ledger, ERASURE_LEDGER or DATA_DIR.`);
  const unreadable: number[] = [];
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line, i) => {
      const entry = line === '' ? undefined : parseLine(line);
      if (line !== '' && !entry) unreadable.push(i + 1);
      return entry ?? [];
    });
  const controls = lines.filter((line) => line.kind === 'control');
  const entries = lines.filter((line) => line.kind !== 'control');
  const refused = new Set(entries.filter(({ state }) => state === 'refused').map(({ job_id }) => job_id));
  const latest = new Map<string, LedgerEntry>();
  for (const entry of entries)
    if (entry.state === 'started' || entry.kind === 'tenant' || !latest.has(entry.job_id)) latest.set(entry.job_id, entry);
  return { entries: [...latest.values()].filter(({ job_id }) => !refused.has(job_id)), controls, unreadable };
}

function parseLine(line: string): LedgerEntry | ControlEntry | undefined {
  try {
    return z.union([entryLine, controlLine]).parse(JSON.parse(line));
  } catch {
    return undefined;
  }
}
