import { z } from 'zod';
import type { Tenant } from '../db/tenant.ts';
import { findUnreadable } from '../events/index.ts';
import { parseTime } from '../time.ts';
import type { Page, Part } from './sql.ts';

// An unreadable row must not make the whole export unusable. It is replaced by a row with the same key and without the unreadable values, and
// the following line names the row and the reason.

type Row = Record<string, unknown> & { type: string };

/** Names the row of the previous line, which was unreadable at the export. */
export const unreadableRow = z.strictObject({
  type: z.literal('unreadable'),
  part: z.string().max(64),
  row: z.union([z.int().min(1).max(1e15), z.string().min(1).max(1000)]),
  reason: z.string().max(1000),
});

/** Matches an infinite time or a year outside of RFC 3339. A match in a text only causes a closer look. */
const SUSPECT = /infinity"| BC"|"\d{5,}-\d\d-\d\dT/;
const EPOCH = '1970-01-01T00:00:00.000Z';

/** Returns the lines of a page with unreadable rows replaced, and their number. */
export async function withoutUnreadable(
  tenant: Tenant,
  part: Part,
  { lines }: Page,
): Promise<{ text: string; replaced: number }> {
  if (part.part === 'event') return replaceEvents(tenant, part, lines);
  if (!SUSPECT.test(lines)) return { text: `${lines}\n`, replaced: 0 };
  return replace(part, lines, (row) => replaceTimes(row, part));
}

async function replaceEvents(tenant: Tenant, part: Part, lines: string): Promise<{ text: string; replaced: number }> {
  const unreadable = await findUnreadable(tenant, seqOf(lines, 0), seqOf(lines, lines.lastIndexOf('\n') + 1));
  if (unreadable.length === 0) return { text: `${lines}\n`, replaced: 0 };
  const reasons = new Map(unreadable.map(({ seq, reason }) => [seq, reason]));
  return replace(part, lines, (row) => {
    const reason = reasons.get(row.seq as number);
    if (reason === undefined) return undefined;
    const placeholder = { content: { unreadable: true }, metadata: {}, tags: [], refs: [], chunk_count: 0 };
    return { row: { ...(replaceTimes(row, part)?.row ?? row), ...placeholder }, reason };
  });
}

/** Relies on the order of fields in export_page: `{"type":"event","seq":12,…`. */
const seqOf = (lines: string, from: number): number => Number(/"seq":(\d+)/.exec(lines.slice(from, from + 200))![1]);

interface Replacement {
  row: Row;
  reason: string;
}

function replace(
  part: Part,
  lines: string,
  replaceRow: (row: Row) => Replacement | undefined,
): { text: string; replaced: number } {
  let replaced = 0;
  const rewritten = lines.split('\n').map((text) => {
    const replacement = replaceRow(JSON.parse(text) as Row);
    if (!replacement) return `${text}\n`;
    replaced += 1;
    return `${JSON.stringify(replacement.row)}\n${unreadableLine(part.part, keyOf(replacement.row, part), replacement.reason)}`;
  });
  return { text: rewritten.join(''), replaced };
}

/** Returns the key; several columns are joined. */
const keyOf = (row: Row, { keys }: Part): unknown => (keys.length === 1 ? row[keys[0]!] : keys.map((key) => row[key]).join('/'));

export const unreadableLine = (part: string, row: unknown, reason: string): string =>
  `${JSON.stringify({ type: 'unreadable', part, row, reason })}\n`;

function replaceTimes(row: Row, { times, needed_times }: Part): Replacement | undefined {
  const wrong = times.filter((name) => typeof row[name] === 'string' && !parseTime(row[name] as string));
  if (wrong.length === 0) return undefined;
  const fallback = parseTime(String(row.created_at)) ?? EPOCH;
  const replacements = Object.fromEntries(wrong.map((name) => [name, needed_times.includes(name) ? fallback : null]));
  return { row: { ...row, ...replacements }, reason: `${wrong[0]}: not between the years 1 and 9999` };
}
