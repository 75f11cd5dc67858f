import type { Item } from './pack.ts';
import { withPlainLines } from './render.ts';

// A call and its results are one item: of a result without what was called nothing can be understood, and a call that looks unanswered
// is made again.

/** A call or result, with the call that it belongs to. */
export interface Pair {
  seq: number;
  /** Null where its call was not recorded or may not be seen. */
  call_seq: number | null;
  tool: string | null;
  call_id: string;
}

/** How a call ends of which only itself fits. */
export const LEFT_OUT = ' [result left out]';

/**
 * Puts the parts of each call together, where the first of them stands in each list. A part that is in several lists reads in all of
 * them as it does in the first; those of `others` come in only beside one that is in a list.
 */
export function together(lists: Item[][], others: Item[], pairs: Map<number, Pair>): Item[][] {
  const callOf = ({ part }: Item) => (part && pairs.get(part.seq)?.call_seq) ?? undefined;
  const parts = new Map<number, Found[]>();
  for (const [rank, list] of [...lists, others].entries())
    for (const item of list) {
      const call = callOf(item);
      if (call !== undefined) parts.set(call, [...(parts.get(call) ?? []), { item, rank }]);
    }
  const units = new Map([...parts].map(([call, found]) => [call, unitOf(once(found))]));
  return lists.map((list) => {
    const placed = new Set<Item>();
    return list.flatMap((item) => {
      const unit = units.get(callOf(item) ?? -1);
      if (!unit) return [item];
      return placed.has(unit) ? [] : [placed.add(unit) && unit];
    });
  });
}

interface Found {
  item: Item;
  /** Which list it is from. */
  rank: number;
}

/** Of an event that was found in several lists what the first has of it, in the order of the log. */
function once(found: Found[]): Item[] {
  const best = new Map<number, number>();
  for (const { item, rank } of found) best.set(item.part!.seq, Math.min(rank, best.get(item.part!.seq) ?? rank));
  const kept = found.filter(({ item, rank }) => best.get(item.part!.seq) === rank).map(({ item }) => item);
  return kept.toSorted((a, b) => a.part!.seq - b.part!.seq || a.part!.ordinal - b.part!.ordinal);
}

/** Undefined where the call has no text: what belongs to it stands alone and names it. */
function unitOf(parts: Item[]): Item | undefined {
  const calls = parts.filter(({ part }) => part!.kind === 'tool_call');
  const results = parts.filter(({ part }) => part!.kind === 'tool_result');
  if (calls.length === 0) return undefined;
  const call = merged(calls);
  if (results.length === 0) return call;
  const beside = results.flatMap(({ ids }) => ids);
  return { ...merged([...calls, ...results]), name: beside[0]!, beside, without: { ...call, text: call.text + LEFT_OUT } };
}

function merged(parts: Item[]): Item {
  if (parts.length === 1) return parts[0]!;
  const artifact_id = parts.find((part) => part.artifact_id !== undefined)?.artifact_id;
  return {
    type: 'text',
    // further lines of a part are indented, so that none looks like the next part
    text: parts.map(({ text }) => withPlainLines(text).replaceAll('\n', '\n  ')).join('\n'),
    refs: [...new Set(parts.flatMap(({ refs }) => refs))],
    ids: [...new Set(parts.flatMap(({ ids }) => ids))],
    said: parts.map(({ said }) => said).join('\n'),
    words: [...new Set(parts.flatMap(({ words }) => words))],
    ...(artifact_id !== undefined && { artifact_id }),
  };
}
