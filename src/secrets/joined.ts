import type { Span } from './tokens.ts';

// A text with something taken out of it, such as its line breaks, so that a secret that was broken is whole; and the way back from there to
// the text as it stands.

interface Joined {
  text: string;
  joints: Joint[];
  /** Where the joints are, in order. */
  places: number[];
}

interface Joint {
  at: number;
  /** Where the text as it stands goes on. */
  right: number;
  /** What was taken out was meant to be: `" + "`, a backslash before the end of the line. */
  meant: boolean;
}

/** The text without the gaps; undefined where there are none. A gap was meant to be where the first group of its expression took part. */
export function joinedBetween(text: string, gaps: RegExp): Joined | undefined {
  const joints: Joint[] = [];
  let together = '';
  let last = 0;
  for (const match of text.matchAll(gaps)) {
    together += text.slice(last, match.index);
    last = match.index + match[0].length;
    joints.push({ at: together.length, right: last, meant: match[1] !== undefined });
  }
  if (joints.length === 0) return undefined;
  return { text: together + text.slice(last), joints, places: joints.map(({ at }) => at) };
}

/** A span of the joined text, but for what follows a joint that it crosses for no reason; undefined where it crosses none then. */
export function withinReason(span: Span, { text, joints, places }: Joined): Span | undefined {
  const first = firstAbove(places, span.from);
  let { to } = span;
  for (let i = first; i < joints.length && joints[i]!.at < to; i += 1) {
    const { at, meant } = joints[i]!;
    const piece = text.slice(at, Math.min(to, joints[i + 1]?.at ?? to));
    if (!meant && !span.exact && !goesOn(piece)) to = at;
  }
  return first < joints.length && joints[first]!.at < to ? { ...span, to } : undefined;
}

/** Whether a line's beginning looks like the rest of a token, and not like the next word. */
const goesOn = (piece: string): boolean =>
  piece.length >= 6 &&
  (/^[\da-f]+$/.test(piece) || (/\d/.test(piece) && /[A-Za-z]/.test(piece)) || /[a-z][A-Z]/.test(piece) || piece.length >= 20);

/** A span of the joined text as one of the text as it stands. */
export function asItStands({ from, to, kind }: Span, { joints, places }: Joined): Span {
  const placeOf = (position: number): number => {
    const joint = joints[firstAbove(places, position) - 1];
    return joint ? joint.right + (position - joint.at) : position;
  };
  return { from: placeOf(from), to: placeOf(to - 1) + 1, kind };
}

/** Places in a text where lines were put together: what stands before such a place does not belong to what follows. */
export interface Joints {
  has(at: number): boolean;
  /** Those beyond `from` and before `to`, in order. */
  within(from: number, to: number): number[];
}

/** `places` in order. */
export function jointsOf(places: number[]): Joints {
  const set = new Set(places);
  return {
    has: (at) => set.has(at),
    within: (from, to) => {
      const first = firstAbove(places, from);
      let end = first;
      while (end < places.length && places[end]! < to) end += 1;
      return places.slice(first, end);
    },
  };
}

/** The index of the first that is greater. */
export function firstAbove(sorted: number[], value: number): number {
  let low = 0;
  for (let high = sorted.length; low < high; ) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}
