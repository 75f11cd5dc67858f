import type { Span } from './tokens.ts';

// A text with something taken out of it, such as its line breaks, so that a secret that was broken is whole; and the way back from there to
// the text as it stands.

interface JoinedText {
  text: string;
  joints: Joint[];
  /** Where the joints are, in order. */
  positions: number[];
}

interface Joint {
  at: number;
  /** Where the text as it stands goes on. */
  resumesAt: number;
  /** What was taken out was meant to be: `" + "`, a backslash before the end of the line. */
  explicit: boolean;
}

/** The text without the gaps; undefined where there are none. A gap was meant to be where the first group of its expression took part. */
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

/** A span of the joined text, but for what follows a joint that it crosses for no reason; undefined where it crosses none then. */
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

/** Whether a line's beginning looks like the rest of a token, and not like the next word. */
const continuesToken = (piece: string): boolean =>
  piece.length >= 6 &&
  (/^[\da-f]+$/.test(piece) || (/\d/.test(piece) && /[A-Za-z]/.test(piece)) || /[a-z][A-Z]/.test(piece) || piece.length >= 20);

/** A span of the joined text as one of the text as it stands. */
export function toSourceSpan({ from, to, kind }: Span, { joints, positions }: JoinedText): Span {
  const toSource = (position: number): number => {
    const joint = joints[upperBound(positions, position) - 1];
    return joint ? joint.resumesAt + (position - joint.at) : position;
  };
  return { from: toSource(from), to: toSource(to - 1) + 1, kind };
}

/** Places in a text where lines were put together: what stands before such a place does not belong to what follows. */
export interface Joints {
  has(at: number): boolean;
  /** Those beyond `from` and before `to`, in order. */
  between(from: number, to: number): number[];
}

/** `places` in order. */
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

/** The index of the first that is greater. */
export function upperBound(sorted: number[], value: number): number {
  let low = 0;
  for (let high = sorted.length; low < high; ) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}
