import type { Span } from './tokens.ts';

// Joins a text across gaps such as line breaks, so that a broken secret becomes contiguous, and maps spans of the joined text back to the source.

interface JoinedText {
  text: string;
  joints: Joint[];
  /** The positions of the joints, in order. */
  positions: number[];
}

interface Joint {
  at: number;
  /** The position in the source after the gap. */
  resumesAt: number;
  /** True if the gap is an explicit continuation: `" + "`, a backslash at the end of the line. */
  explicit: boolean;
}

/** Removes the gaps from a text. Returns undefined if there are none. A gap is explicit if the first group of the expression matched. */
export function joinAcross(text: string, gaps: RegExp): JoinedText | undefined {
  const joints: Joint[] = [];
  let together = '';
  let last = 0;
  for (const match of text.matchAll(gaps)) {
    together += text.slice(last, match.index);
    last = match.index + match[0].length;
    joints.push({ at: together.length, resumesAt: last, explicit: match[1] !== undefined });
  }
  if (joints.length === 0) return undefined;
  return { text: together + text.slice(last), joints, positions: joints.map(({ at }) => at) };
}

/**
 * Cuts a span of the joined text at the first joint after which the text does not look like a continuation. Returns undefined if the span then
 * crosses no joint.
 */
export function trimAtLineBreak(span: Span, { text, joints, positions }: JoinedText): Span | undefined {
  const first = upperBound(positions, span.from);
  let { to } = span;
  for (let i = first; i < joints.length && joints[i]!.at < to; i += 1) {
    const { at, explicit } = joints[i]!;
    const piece = text.slice(at, Math.min(to, joints[i + 1]?.at ?? to));
    if (!explicit && !span.exact && !continuesToken(piece)) to = at;
  }
  return first < joints.length && joints[first]!.at < to ? { ...span, to } : undefined;
}

/** Returns true if the start of a line looks like the rest of a token and not like a new word. */
const continuesToken = (piece: string): boolean =>
  piece.length >= 6 &&
  (/^[\da-f]+$/.test(piece) || (/\d/.test(piece) && /[A-Za-z]/.test(piece)) || /[a-z][A-Z]/.test(piece) || piece.length >= 20);

/** Maps a span of the joined text to the source. */
export function toSourceSpan({ from, to, kind }: Span, { joints, positions }: JoinedText): Span {
  const toSource = (position: number): number => {
    const joint = joints[upperBound(positions, position) - 1];
    return joint ? joint.resumesAt + (position - joint.at) : position;
  };
  return { from: toSource(from), to: toSource(to - 1) + 1, kind };
}

/** Positions at which lines were joined: the text before a joint may be unrelated to the text after it. */
export interface Joints {
  has(at: number): boolean;
  /** Returns the joints after `from` and before `to`, in order. */
  between(from: number, to: number): number[];
}

/** `positions` must be sorted. */
export function jointsOf(positions: number[]): Joints {
  const set = new Set(positions);
  return {
    has: (at) => set.has(at),
    between: (from, to) => {
      const first = upperBound(positions, from);
      let end = first;
      while (end < positions.length && positions[end]! < to) end += 1;
      return positions.slice(first, end);
    },
  };
}

/** Returns the index of the first element that is greater than `value`. */
export function upperBound(sorted: number[], value: number): number {
  let low = 0;
  for (let high = sorted.length; low < high; ) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}
