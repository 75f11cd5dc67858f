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

/** So far before and behind a word a place is read; a line's beginning ends the way back. */
const BEFORE = 300;
const AFTER = 700;

/** `anchors`: where the last three characters of a word may be, in order. Whether one was there. `exact`: its values end where they end, over whatever lines. */
export function readPlace(text: string, place: Place, anchors: number[], exact: boolean, found: Span[]): boolean {
  const parts = partsOf(text, place, anchors);
  for (const [start, end] of parts) {
    const part = text.slice(start, end);
    for (const match of part.matchAll(place.pattern)) {
      const value = match.findLast((group) => group !== undefined)!;
      const from = start + match.index + match[0].lastIndexOf(value);
      if (place.is(value, match[1]!)) found.push({ from, to: from + value.length, kind: place.kind, exact });
    }
  }
  if (parts.length > 0) place.more?.(text, place, found);
  return parts.length > 0;
}

/** Overlapping ones are one. */
function partsOf(text: string, { words, reach = AFTER }: Place, anchors: number[]): [number, number][] {
  const parts: [number, number][] = [];
  for (const at of anchors) {
    const last = parts.at(-1);
    if (last && at + reach / 2 < last[1]) continue;
    if (!words.some((word) => text.startsWith(word, at + 3 - word.length))) continue;
    const end = Math.min(text.length, at + reach);
    if (last && at - BEFORE <= last[1]) last[1] = end;
    else parts.push([lineStart(text, at), end]);
  }
  return parts;
}

function lineStart(text: string, at: number): number {
  let start = at;
  while (start > 0 && at - start < BEFORE && text.charCodeAt(start - 1) !== 10) start -= 1;
  return start;
}
