import type { Tenant } from '../db/tenant.ts';
import { createChecker, EMPTY_HEAD, type Fault, type Head } from './chain.ts';
import type { AuditKeys } from './keys.ts';
import { type EntryRow, readChain, readHead } from './sql.ts';

// Verifies a tenant's stream from its beginning, including entries that are written meanwhile.

const PAGE = 1000;

/** The end of a stream at an earlier time, saved outside the database, for example in the manifest of a backup. */
export interface SavedHead {
  tenant: string;
  seq: number;
  /** Hex. */
  mac: string;
}

export interface Verification {
  tenant: string;
  entries: number;
  faults: Fault[];
}

export async function verifyTenant(tenant: Tenant, keys: AuditKeys, savedHeads: SavedHead[] = []): Promise<Verification> {
  const checker = createChecker(keys, tenant.id);
  const expected = new Map(savedHeads.map(({ seq, mac }) => [seq, mac]));
  let entries = 0;
  const checkRow = (row: EntryRow) => {
    entries += 1;
    checker.check(row);
    if (row.principal_id !== (row.payload?.principal_id ?? null))
      checker.report(row.seq, 'principal_id differs from the payload');
    if (expected.has(row.seq) && expected.get(row.seq) !== row.mac.toString('hex'))
      checker.report(row.seq, 'differs from the saved head');
    expected.delete(row.seq);
  };
  let after = Number.MIN_SAFE_INTEGER;
  async function readRest(): Promise<void> {
    for (let rows = [] as EntryRow[], first = true; first || rows.length === PAGE; first = false) {
      rows = await tenant.read((db) => readChain(db, tenant.id, after, PAGE));
      rows.forEach(checkRow);
      after = rows.at(-1)?.seq ?? after;
    }
  }
  const currentHead = async () => (await tenant.read((db) => readHead(db, tenant.id))) ?? EMPTY_HEAD;
  let before: Head;
  let clock = await currentHead();
  // repeated until no entry was written while the rows were read
  do {
    before = clock;
    await readRest();
    clock = await currentHead();
  } while (clock.seq !== before.seq);
  const faults = checker.end(clock);
  expected.delete(0);
  for (const seq of expected.keys()) faults.push({ seq, fault: 'missing, but listed in the saved heads' });
  return { tenant: tenant.id, entries, faults };
}

export async function headOf(tenant: Tenant): Promise<SavedHead> {
  const head = await tenant.read((db) => readHead(db, tenant.id));
  return { tenant: tenant.id, seq: head?.seq ?? 0, mac: head?.mac.toString('hex') ?? '' };
}
