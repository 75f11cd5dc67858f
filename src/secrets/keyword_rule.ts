import type { Span } from './tokens.ts';

// A place where programs keep secrets, known by fixed words: looked at only where a text has one of them.

export interface KeywordRule {
  kind: string;
  /** One of these is in or right before what the pattern finds. Their last three characters are anchors (src/secrets/anchors.ts). */
  keywords: string[];
  /** Its last group that took part is the secret. Every part is bounded. */
  pattern: RegExp;
  /** `name`: the first group. */
  isSecret(value: string, name: string): boolean;
  /** Characters read behind a word, where its values are long. */
  lookahead?: number;
  /** What the pattern cannot say. */
  findMore?(text: string, place: KeywordRule, found: Span[]): void;
}

/** So far before and behind a word a place is read. */
const MAX_BEFORE = 300;
const MAX_AFTER = 700;

/** `words`: where the last three characters of its words are, in order. `exact`: its values end where they end, over whatever lines. */
export function applyKeywordRule(text: string, rule: KeywordRule, anchors: number[], exact: boolean, found: Span[]): void {
  for (const [start, end] of partsOf(text, anchors, rule.lookahead ?? MAX_AFTER)) {
    const part = text.slice(start, end);
    for (const match of part.matchAll(rule.pattern)) {
      const value = match.findLast((group) => group !== undefined)!;
      const from = start + match.index + match[0].lastIndexOf(value);
      if (rule.isSecret(value, match[1]!)) found.push({ from, to: from + value.length, kind: rule.kind, exact });
    }
  }
  rule.findMore?.(text, rule, found);
}

/** Overlapping ones are one. */
function partsOf(text: string, anchors: number[], lookahead: number): [number, number][] {
  const parts: [number, number][] = [];
  for (const at of anchors) {
    const last = parts.at(-1);
    const end = Math.min(text.length, at + lookahead);
    if (last && at - MAX_BEFORE <= last[1]) last[1] = end;
    else parts.push([lineStart(text, at), end]);
  }
  return parts;
}

/** The first line that begins so near. */
function lineStart(text: string, at: number): number {
  const start = Math.max(0, at - MAX_BEFORE);
  const broken = start === 0 ? -1 : text.slice(start - 1, at).indexOf('\n');
  return broken < 0 ? start : start + broken;
}
