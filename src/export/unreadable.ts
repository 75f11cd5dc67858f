import { z } from 'zod';
import type { Tenant } from '../db/tenant.ts';
import { findUnreadable } from '../events/index.ts';
import { parseTime } from '../time.ts';
import type { Page, Part } from './sql.ts';

// One row that cannot be read must not make a file that nobody can import. In its place stands a row of the same key that says no more
// than that it is unreadable, and a line after it names the row and the reason.

type Row = Record<string, unknown> & { type: string };

/** Names the row before it, which could not be read where it was exported. */
export const unreadableRow = z.strictObject({
  type: z.literal('unreadable'),
  part: z.string().max(64),
  row: z.union([z.int().min(1).max(1e15), z.string().min(1).max(1000)]),
  reason: z.string().max(1000),
});

/** What an infinite time or a year that RFC 3339 has not looks like in a line. In a text it is only a reason to look closer. */
const SUSPECT = /infinity"| BC"|"\d{5,}-\d\d-\d\dT/;
const EPOCH = '1970-01-01T00:00:00.000Z';

/** The lines of a page, those of unreadable rows replaced; how many there were. */
export async function withoutUnreadable(tenant: Tenant, part: Part, { lines }: Page): Promise<{ text: string; skipped: number }> {
  if (part.part === 'event') return replaceEvents(tenant, part, lines);
  if (!SUSPECT.test(lines)) return { text: `${lines}\n`, skipped: 0 };
  return replace(part, lines, (row) => replaceTimes(row, part));
}

async function replaceEvents(tenant: Tenant, part: Part, lines: string): Promise<{ text: string; skipped: number }> {
  const found = await findUnreadable(tenant, seqOf(lines, 0), seqOf(lines, lines.lastIndexOf('\n') + 1));
  if (found.length === 0) return { text: `${lines}\n`, skipped: 0 };
  const reasons = new Map(found.map(({ seq, reason }) => [seq, reason]));
  return replace(part, lines, (row) => {
    const reason = reasons.get(row.seq as number);
    if (reason === undefined) return undefined;
    const stand_in = { content: { unreadable: true }, metadata: {}, tags: [], refs: [], chunk_count: 0 };
    return { row: { ...(replaceTimes(row, part)?.row ?? row), ...stand_in }, reason };
  });
}

/** `{"type":"event","seq":12,…`: the order of export_page. */
const seqOf = (lines: string, from: number): number => Number(/"seq":(\d+)/.exec(lines.slice(from, from + 200))![1]);

interface Replacement {
  row: Row;
  reason: string;
}

function replace(part: Part, lines: string, mend: (row: Row) => Replacement | undefined): { text: string; skipped: number } {
  let skipped = 0;
  const told = lines.split('\n').map((text) => {
    const withoutUnreadable = mend(JSON.parse(text) as Row);
    if (!withoutUnreadable) return `${text}\n`;
    skipped += 1;
    return `${JSON.stringify(withoutUnreadable.row)}\n${unreadableLine(part.part, nameOf(withoutUnreadable.row, part), withoutUnreadable.reason)}`;
  });
  return { text: told.join(''), skipped };
}

/** The key, its columns joined where it has several. */
const nameOf = (row: Row, { keys }: Part): unknown => (keys.length === 1 ? row[keys[0]!] : keys.map((key) => row[key]).join('/'));

export const unreadableLine = (part: string, row: unknown, reason: string): string =>
  `${JSON.stringify({ type: 'unreadable', part, row, reason })}\n`;

function replaceTimes(row: Row, { times, needed_times }: Part): Replacement | undefined {
  const wrong = times.filter((name) => typeof row[name] === 'string' && !parseTime(row[name] as string));
  if (wrong.length === 0) return undefined;
  const given = parseTime(String(row.created_at)) ?? EPOCH;
  const withoutUnreadable = Object.fromEntries(wrong.map((name) => [name, needed_times.includes(name) ? given : null]));
  return { row: { ...row, ...withoutUnreadable }, reason: `${wrong[0]}: not between the years 1 and 9999` };
}
