import type { Span } from './tokens.ts';

// A rule for secrets in a fixed syntax. Its pattern is applied only near its keywords.

export interface KeywordRule {
  kind: string;
  /** One of these is in every match of the pattern, or directly before it. Their last three characters are anchors (anchors.ts). */
  keywords: string[];
  /** The last group that matched is the secret. Every quantifier is bounded. */
  pattern: RegExp;
  /** Returns true if the value is a secret. `name` is the first group of the pattern. */
  isSecret(value: string, name: string): boolean;
  /** Number of characters to read after a keyword; for rules with long values. */
  lookahead?: number;
  /** Finds further secrets that the pattern cannot express. */
  findMore?(text: string, rule: KeywordRule, found: Span[]): void;
}

/** Number of characters to read before and after a keyword. */
const MAX_BEFORE = 300;
const MAX_AFTER = 700;

/**
 * Applies a rule near its keywords. `anchors` are the sorted positions of the last three characters of the keywords. If `exact` is true, values
 * extend over line breaks.
 */
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

/** Returns the parts of the text to read; overlapping parts are merged. */
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

/** Returns the start of the first line within MAX_BEFORE characters. */
function lineStart(text: string, at: number): number {
  const start = Math.max(0, at - MAX_BEFORE);
  const broken = start === 0 ? -1 : text.slice(start - 1, at).indexOf('\n');
  return broken < 0 ? start : start + broken;
}
