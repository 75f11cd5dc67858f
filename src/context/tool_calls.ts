import type { Item } from './pack.ts';
import { normalizeLineEnds } from './render.ts';

// A call and its results are one item: of a result without what was called nothing can be understood, and a call that looks unanswered
// is made again.

/** A call or result, with the call that it belongs to. */
export interface ToolPair {
  seq: number;
  /** Null where its call was not recorded or may not be seen. */
  call_seq: number | null;
  tool: string | null;
  call_id: string;
}

/** How a call ends of which only itself fits. */
export const RESULT_LEFT_OUT = ' [result left out]';

/**
 * Puts the parts of each call together, where the first of them stands in each list. A part that is in several lists reads in all of
 * them as it does in the first; those of `others` come in only beside one that is in a list.
 */
export function pairCalls(lists: Item[][], others: Item[], pairs: Map<number, ToolPair>): Item[][] {
  const callOf = ({ toolPart }: Item) => (toolPart && pairs.get(toolPart.seq)?.call_seq) ?? undefined;
  const parts = new Map<number, RankedPart[]>();
  for (const [rank, list] of [...lists, others].entries())
    for (const item of list) {
      const call = callOf(item);
      if (call !== undefined) parts.set(call, [...(parts.get(call) ?? []), { item, rank }]);
    }
  const units = new Map([...parts].map(([call, found]) => [call, callItem(bestOccurrences(found))]));
  return lists.map((list) => {
    const placed = new Set<Item>();
    return list.flatMap((item) => {
      const unit = units.get(callOf(item) ?? -1);
      if (!unit) return [item];
      return placed.has(unit) ? [] : [placed.add(unit) && unit];
    });
  });
}

interface RankedPart {
  item: Item;
  /** Which list it is from. */
  rank: number;
}

/** Of an event that was found in several lists what the first has of it, in the order of the log. */
function bestOccurrences(parts: RankedPart[]): Item[] {
  const best = new Map<number, number>();
  for (const { item, rank } of parts) best.set(item.toolPart!.seq, Math.min(rank, best.get(item.toolPart!.seq) ?? rank));
  const kept = parts.filter(({ item, rank }) => best.get(item.toolPart!.seq) === rank).map(({ item }) => item);
  return kept.toSorted((a, b) => a.toolPart!.seq - b.toolPart!.seq || a.toolPart!.ordinal - b.toolPart!.ordinal);
}

/** Undefined where the call has no text: what belongs to it stands alone and names it. */
function callItem(parts: Item[]): Item | undefined {
  const calls = parts.filter(({ toolPart }) => toolPart!.kind === 'tool_call');
  const results = parts.filter(({ toolPart }) => toolPart!.kind === 'tool_result');
  if (calls.length === 0) return undefined;
  const call = mergeParts(calls);
  if (results.length === 0) return call;
  const beside = results.flatMap(({ ids }) => ids);
  return {
    ...mergeParts([...calls, ...results]),
    primaryId: beside[0]!,
    resultIds: beside,
    callOnly: { ...call, text: call.text + RESULT_LEFT_OUT },
  };
}

function mergeParts(parts: Item[]): Item {
  if (parts.length === 1) return parts[0]!;
  const artifact_id = parts.find((part) => part.artifact_id !== undefined)?.artifact_id;
  return {
    type: 'text',
    // further lines of a part are indented, so that none looks like the next part
    text: parts.map(({ text }) => normalizeLineEnds(text).replaceAll('\n', '\n  ')).join('\n'),
    refs: [...new Set(parts.flatMap(({ refs }) => refs))],
    ids: [...new Set(parts.flatMap(({ ids }) => ids))],
    comparedText: parts.map(({ comparedText }) => comparedText).join('\n'),
    lexemes: [...new Set(parts.flatMap(({ lexemes }) => lexemes))],
    ...(artifact_id !== undefined && { artifact_id }),
  };
}
