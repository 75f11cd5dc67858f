import type { Item } from './pack.ts';
import { normalizeLineEnds } from './render.ts';

// Merges a tool call and its results into one item: a model cannot interpret a result without its call, and repeats a call that seems to have no
// result.

/** A call or result, and the call that it belongs to. */
export interface ToolPair {
  seq: number;
  /** Null if the call was not recorded or the request may not see it. */
  call_seq: number | null;
  tool: string | null;
  call_id: string;
}

/** The end of a call whose results do not fit into the budget. */
export const RESULT_LEFT_OUT = ' [result left out]';

/**
 * Replaces the first part of each call in each list with an item of all its parts, and removes the others. A part that occurs in several lists has
 * the text of the first list. Parts in `others` are included only if another part of the same call is in a list.
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
    const seen = new Set<Item>();
    return list.flatMap((item) => {
      const unit = units.get(callOf(item) ?? -1);
      if (!unit) return [item];
      return seen.has(unit) ? [] : [seen.add(unit) && unit];
    });
  });
}

interface RankedPart {
  item: Item;
  /** The index of the list that contains the part. */
  rank: number;
}

/** Keeps the parts of each event from the first list that contains the event. Sorts them by seq. */
function bestOccurrences(parts: RankedPart[]): Item[] {
  const best = new Map<number, number>();
  for (const { item, rank } of parts) best.set(item.toolPart!.seq, Math.min(rank, best.get(item.toolPart!.seq) ?? rank));
  const occurrences = parts.filter(({ item, rank }) => best.get(item.toolPart!.seq) === rank).map(({ item }) => item);
  return occurrences.toSorted((a, b) => a.toolPart!.seq - b.toolPart!.seq || a.toolPart!.ordinal - b.toolPart!.ordinal);
}

/** Returns undefined if the call itself is not among the parts: its results then stay separate items that name the call. */
function callItem(parts: Item[]): Item | undefined {
  const calls = parts.filter(({ toolPart }) => toolPart!.kind === 'tool_call');
  const results = parts.filter(({ toolPart }) => toolPart!.kind === 'tool_result');
  if (calls.length === 0) return undefined;
  const call = mergeParts(calls);
  if (results.length === 0) return call;
  const resultIds = results.flatMap(({ ids }) => ids);
  return {
    ...mergeParts([...calls, ...results]),
    primaryId: resultIds[0]!,
    resultIds,
    callOnly: { ...call, text: call.text + RESULT_LEFT_OUT },
  };
}

function mergeParts(parts: Item[]): Item {
  if (parts.length === 1) return parts[0]!;
  const artifact_id = parts.find((part) => part.artifact_id !== undefined)?.artifact_id;
  return {
    type: 'text',
    // continuation lines are indented, so that none looks like the start of the next part
    text: parts.map(({ text }) => normalizeLineEnds(text).replaceAll('\n', '\n  ')).join('\n'),
    refs: [...new Set(parts.flatMap(({ refs }) => refs))],
    ids: [...new Set(parts.flatMap(({ ids }) => ids))],
    comparedText: parts.map(({ comparedText }) => comparedText).join('\n'),
    lexemes: [...new Set(parts.flatMap(({ lexemes }) => lexemes))],
    ...(parts[0]!.session !== undefined && { session: parts[0]!.session }),
    ...(artifact_id !== undefined && { artifact_id }),
  };
}
