import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Sealed } from '../seal.ts';
import type { SubjectKind } from './schemas.ts';

// What was erased, in a file that is no part of a backup of the database: after a restore it says what to erase again. Whom, only the
// holder of the key can read.

export interface LedgerEntry {
  at: string;
  state: 'started' | 'completed' | 'refused';
  job_id: string;
  tenant_id: string;
  kind: SubjectKind;
  upto_seq: number;
  subject: Sealed;
}

export interface Ledger {
  /** On the disk when it returns. */
  append(entry: LedgerEntry): void;
}

export const openLedger = (file: string): Ledger => ({
  append: (entry) => {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    const line = openSync(file, 'a', 0o600);
    try {
      writeSync(line, `${JSON.stringify(entry)}\n`);
      fsyncSync(line);
    } finally {
      closeSync(line);
    }
    const directory = openSync(dirname(file), 'r');
    try {
      fsyncSync(directory);
    } finally {
      closeSync(directory);
    }
  },
});

/** Each erasure once, with its first entry: what was refused is left out. The end of a line that a crash cut off is not one. */
export function readLedger(file: string): LedgerEntry[] {
  if (!existsSync(file)) throw new Error(`There is no ledger ${file}: name it with --ledger, or set ERASURE_LEDGER or DATA_DIR.`);
  const entries = readFileSync(file, 'utf8').split('\n').flatMap(parseLine);
  const refused = new Set(entries.filter(({ state }) => state === 'refused').map(({ job_id }) => job_id));
  const first = new Map<string, LedgerEntry>();
  for (const entry of entries) if (!refused.has(entry.job_id) && !first.has(entry.job_id)) first.set(entry.job_id, entry);
  return [...first.values()];
}

function parseLine(line: string): LedgerEntry[] {
  try {
    return line === '' ? [] : [JSON.parse(line) as LedgerEntry];
  } catch {
    return [];
  }
}
