import { closeSync, existsSync, fstatSync, fsyncSync, mkdirSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { Problem } from '../http/problem.ts';
import type { Sealed } from '../seal.ts';
import { subjectKinds } from './schemas.ts';

// What was erased, in a file that is no part of a backup of the database: after a restore it says what to erase again. Whom, only the
// holder of the key can read.

const entryLine = z.object({
  at: z.string(),
  state: z.enum(['started', 'completed', 'refused']),
  job_id: z.string(),
  tenant_id: z.string(),
  kind: z.enum([...subjectKinds, 'tenant']),
  upto_seq: z.int(),
  keep_shared: z.boolean().optional(),
  subject: z.custom<Sealed>((value) => typeof value === 'object' && value !== null),
});
export type LedgerEntry = z.output<typeof entryLine>;

export interface Ledger {
  /** On the disk when it returns. */
  append(entry: LedgerEntry): void;
}

export const openLedger = (file: string): Ledger => ({
  append: (entry) => {
    try {
      mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
      keep(file, 'a+', (ledger) => writeFileSync(ledger, `${endsMidLine(ledger) ? '\n' : ''}${JSON.stringify(entry)}\n`));
      keep(dirname(file), 'r', () => undefined);
    } catch (cause) {
      // a disk that is full or away may come back
      throw new Problem('unavailable', 'The erasure ledger cannot be written.', { cause, headers: { 'Retry-After': '60' } });
    }
  },
});

/** On the disk when it returns. */
function keep(path: string, flags: string, write: (opened: number) => void): void {
  const opened = openSync(path, flags, 0o600);
  try {
    write(opened);
    fsyncSync(opened);
  } finally {
    closeSync(opened);
  }
}

/** Whether a crash cut the last line off: what comes next may not go on in it. */
function endsMidLine(ledger: number): boolean {
  const { size } = fstatSync(ledger);
  const last = Buffer.alloc(1);
  return size > 0 && readSync(ledger, last, 0, 1, size - 1) === 1 && last[0] !== 0x0a;
}

export interface LedgerRead {
  entries: LedgerEntry[];
  /** Lines that are no entries, such as one that a crash cut off: whom they named is not known. */
  unreadable: number[];
}

/**
 * Each once; what was refused is left out. Of an erasure what it began with, the last time it was begun; of a tenant's deletion the last
 * that is known.
 */
export function readLedger(file: string): LedgerRead {
  if (!existsSync(file)) throw new Error(`There is no ledger ${file}: name it with --ledger, or set ERASURE_LEDGER or DATA_DIR.`);
  const unreadable: number[] = [];
  const entries = readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line, i) => {
      const entry = line === '' ? undefined : parseLine(line);
      if (line !== '' && !entry) unreadable.push(i + 1);
      return entry ?? [];
    });
  const refused = new Set(entries.filter(({ state }) => state === 'refused').map(({ job_id }) => job_id));
  const told = new Map<string, LedgerEntry>();
  for (const entry of entries)
    if (entry.state === 'started' || entry.kind === 'tenant' || !told.has(entry.job_id)) told.set(entry.job_id, entry);
  return { entries: [...told.values()].filter(({ job_id }) => !refused.has(job_id)), unreadable };
}

function parseLine(line: string): LedgerEntry | undefined {
  try {
    return entryLine.parse(JSON.parse(line));
  } catch {
    return undefined;
  }
}
