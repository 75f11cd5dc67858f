import type { Span } from './tokens.ts';

// A place where programs keep secrets, known by fixed words: looked at only where a text has one of them.

export interface Place {
  kind: string;
  /** One of these is in or right before what the pattern finds. Their last three characters are anchors (src/secrets/anchors.ts). */
  words: string[];
  /** Its last group that took part is the secret. Every part is bounded. */
  pattern: RegExp;
  /** `name`: the first group. */
  is(value: string, name: string): boolean;
  /** Characters read behind a word, where its values are long. */
  reach?: number;
  /** What the pattern cannot say. */
  more?(text: string, place: Place, found: Span[]): void;
}

/** So far before and behind a word a place is read. */
const BEFORE = 300;
const AFTER = 700;

/** `words`: where the last three characters of its words are, in order. `exact`: its values end where they end, over whatever lines. */
export function readPlace(text: string, place: Place, words: number[], exact: boolean, found: Span[]): void {
  for (const [start, end] of partsOf(text, words, place.reach ?? AFTER)) {
    const part = text.slice(start, end);
    for (const match of part.matchAll(place.pattern)) {
      const value = match.findLast((group) => group !== undefined)!;
      const from = start + match.index + match[0].lastIndexOf(value);
      if (place.is(value, match[1]!)) found.push({ from, to: from + value.length, kind: place.kind, exact });
    }
  }
  place.more?.(text, place, found);
}

/** Overlapping ones are one. */
function partsOf(text: string, words: number[], reach: number): [number, number][] {
  const parts: [number, number][] = [];
  for (const at of words) {
    const last = parts.at(-1);
    const end = Math.min(text.length, at + reach);
    if (last && at - BEFORE <= last[1]) last[1] = end;
    else parts.push([lineStart(text, at), end]);
  }
  return parts;
}

/** The first line that begins so near. */
function lineStart(text: string, at: number): number {
  const start = Math.max(0, at - BEFORE);
  const broken = start === 0 ? -1 : text.slice(start - 1, at).indexOf('\n');
  return broken < 0 ? start : start + broken;
}
