import type { Steps } from '../slices.ts';

// Byte-pair merging of one long piece with a heap, in O(n log n). Scanning the piece again after each merge is O(n²).

type Table = readonly (string | readonly number[])[];

interface Ranks {
  rankOf: Map<string, number>;
  /** Bytes of the longest token. */
  longest: number;
}
const ranksByTable = new WeakMap<Table, Ranks>();

/** Returns the token ranks by their bytes (as Latin-1 text). Built on the first long piece; ordinary text has none. */
function* ranksOf(table: Table): Steps<Ranks> {
  const known = ranksByTable.get(table);
  if (known) return known;
  const rankOf = new Map<string, number>();
  let longest = 0;
  for (const [rank, token] of table.entries()) {
    if (rank % STEPS_PER_YIELD === 0) yield;
    if (token === undefined) continue;
    const bytes = (typeof token === 'string' ? Buffer.from(token) : Buffer.from(token)).toString('latin1');
    rankOf.set(bytes, rank);
    longest = Math.max(longest, bytes.length);
  }
  const ranks = { rankOf, longest };
  ranksByTable.set(table, ranks);
  return ranks;
}

// A heap entry is one number: rank * POSITIONS + position. The smallest entry has the lowest rank, and the leftmost position among equal ranks.
const POSITIONS = 2 ** 26;
/** Number of steps before yielding. */
const STEPS_PER_YIELD = 1_024;

export function* countMergedTokens(piece: string, table: Table): Steps<number> {
  const bytes = Buffer.from(piece).toString('latin1');
  const size = bytes.length;
  const { rankOf, longest } = yield* ranksOf(table);
  const end = new Int32Array(size + 1).map((_, i) => i + 1);
  const before = new Int32Array(size + 1).map((_, i) => i - 1);
  const current = new Float64Array(size).fill(-1);
  const heap: number[] = [];
  const queueMerge = (at: number) => {
    const middle = end[at]!;
    const stop = middle < size ? end[middle]! : size + 1;
    const rank = stop <= size && stop - at <= longest ? rankOf.get(bytes.slice(at, stop)) : undefined;
    current[at] = rank === undefined ? -1 : rank * POSITIONS + at;
    if (rank !== undefined) push(heap, current[at]!);
  };
  for (let at = 0; at < size - 1; at += 1) {
    if (at % STEPS_PER_YIELD === 0) yield;
    queueMerge(at);
  }
  let count = size;
  for (let step = 1; heap.length > 0; step += 1) {
    if (step % STEPS_PER_YIELD === 0) yield;
    const entry = pop(heap);
    const at = entry % POSITIONS;
    if (current[at] !== entry) continue;
    const middle = end[at]!;
    end[at] = end[middle]!;
    current[middle] = -1;
    if (end[at]! < size) before[end[at]!] = at;
    count -= 1;
    queueMerge(at);
    if (before[at]! >= 0) queueMerge(before[at]!);
  }
  return count;
}

function push(heap: number[], value: number): void {
  let at = heap.push(value) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (heap[parent]! <= value) break;
    heap[at] = heap[parent]!;
    at = parent;
  }
  heap[at] = value;
}

function pop(heap: number[]): number {
  const least = heap[0]!;
  const value = heap.pop()!;
  if (heap.length === 0) return least;
  let at = 0;
  for (let child = 1; child < heap.length; child = 2 * at + 1) {
    if (child + 1 < heap.length && heap[child + 1]! < heap[child]!) child += 1;
    if (heap[child]! >= value) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = value;
  return least;
}
