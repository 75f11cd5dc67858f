import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Db } from '../../src/db/query.ts';
import type { Tenant } from '../../src/db/tenant.ts';
import { readChangingRows } from '../../src/export/full.ts';
import { openSpool } from '../../src/export/spool.ts';

// The buffer between the database and the client of an export.

let dir: string;
beforeEach(() => {
  dir = join(mkdtempSync(join(tmpdir(), 'spool-')), 'made');
});
afterEach(() => rmSync(join(dir, '..'), { recursive: true, force: true }));

test('pages beyond a small size go to an unlinked file in the given directory', async () => {
  const spool = openSpool(dir, 10);
  for (const page of ['one\n', 'a longer page\n', 'last\n']) await spool.add(page);
  let text = '';
  for await (const bytes of spool.read()) text += bytes.toString();
  expect(text).toBe('one\na longer page\nlast\n');
  expect([existsSync(dir), readdirSync(dir)]).toEqual([true, []]);
  await spool.close();
});

/** Returns a tenant whose log changes during the first reads of a page. */
function tenantThatMoves(times: number) {
  const used: string[] = [];
  let last_seq = 1;
  let moves = times;
  const db = {
    row: async () => ({ last_seq, oldest_seq: 1, event_count: 1, stored_bytes: 1, language: 'english', settings: {} }),
    rows: async (text: string, [, part]: unknown[]) => {
      if (text.includes('list_parts')) return ['memory', 'capsule'].map((part) => ({ part, changes: true, times: [] }));
      if (part === 'capsule' && moves-- > 0) last_seq += 1;
      return [{ lines: '', n: 0, last: null }];
    },
  } as unknown as Db;
  const by = (name: string) => async (work: (db: Db) => Promise<unknown>) => {
    used.push(name);
    return work(db);
  };
  return { used, tenant: { id: 't', read: by('read'), snapshot: by('snapshot') } as unknown as Tenant };
}

test('on one session no transaction is held across pages, and all pages are consistent', async () => {
  for (const [moves, snapshots, as_of_seq] of [
    [0, 0, 1],
    [2, 0, 3],
    [9, 1, 4],
  ] as const) {
    const { tenant, used } = tenantThatMoves(moves);
    const start = await readChangingRows(tenant, { spool_dir: dir, oneSession: true });
    expect([used.filter((name) => name === 'snapshot').length, start.as_of_seq]).toEqual([snapshots, as_of_seq]);
  }
  const { tenant, used } = tenantThatMoves(0);
  await readChangingRows(tenant, { spool_dir: dir, oneSession: false });
  expect(used).toEqual(['snapshot']);
});
