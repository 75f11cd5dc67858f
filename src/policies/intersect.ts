import { Problem } from '../http/problem.ts';
import { MAX_PATTERNS, matches } from '../mandates/index.ts';

// Intersections of patterns, in which `*` matches any text.

/** Steps of one composition. Comparing two patterns counts as the product of their lengths, which is the most that it takes. */
const MAX_STEPS = 5_000_000;
/** Characters of the name of a tool. */
const MAX_LENGTH = 255;

/** Bounds the work of a composition. */
export interface Effort {
  steps: number;
}

function spend(effort: Effort, steps: number): void {
  effort.steps += steps;
  if (effort.steps > MAX_STEPS) throw new Problem('conflict', 'The patterns of these policies are too complex to be composed.');
}

/** Returns patterns that together match exactly the texts that both lists match. */
export function intersectLists(one: readonly string[], other: readonly string[], effort: Effort): string[] {
  return withoutCovered(
    one.flatMap((a) => other.flatMap((b) => intersect(a, b, effort))),
    effort,
  );
}

/** Returns patterns that together match exactly the texts that both patterns match, up to the maximum length of a name. */
export function intersect(one: string, other: string, effort: Effort): string[] {
  const [a, b] = [one, other].map((pattern) => pattern.replace(/\*+/g, '*')) as [string, string];
  spend(effort, a.length * b.length + 1);
  // a pattern that matches the other one as text matches all that it matches
  if (matches(a, b)) return [b];
  if (matches(b, a)) return [a];
  if (!a.includes('*') || !b.includes('*')) return [];
  return withoutCovered(interleave(a, b, effort), effort).filter((pattern) => pattern.length <= MAX_LENGTH);
}

function interleave(a: string, b: string, effort: Effort): string[] {
  const known = new Map<number, string[]>();
  const from = (i: number, j: number): string[] => {
    const place = i * (b.length + 1) + j;
    const found = known.get(place) ?? [...new Set(merge(i, j))];
    spend(effort, 1 + found.reduce((sum, pattern) => sum + pattern.length, 0));
    known.set(place, found);
    return found;
  };
  const merge = (i: number, j: number): string[] => {
    const [x, y] = [a[i], b[j]];
    if (x === undefined && y === undefined) return [''];
    // of two stars, one ends first; until then both match the same text
    if (x === '*' && y === '*') return [...from(i + 1, j), ...from(i, j + 1)].map((rest) => star(rest));
    if (x === '*') return [...from(i + 1, j), ...(y === undefined ? [] : from(i, j + 1).map((rest) => y + rest))];
    if (y === '*') return [...from(i, j + 1), ...(x === undefined ? [] : from(i + 1, j).map((rest) => x + rest))];
    return x !== undefined && x === y ? from(i + 1, j + 1).map((rest) => x + rest) : [];
  };
  return from(0, 0);
}

const star = (rest: string) => (rest.startsWith('*') ? rest : `*${rest}`);

/** Drops patterns whose texts another pattern matches. Throws if too many are left for a mandate. */
export function withoutCovered(patterns: readonly string[], effort: Effort): string[] {
  const kept: string[] = [];
  // the shortest first, because a pattern is not covered by a longer one, apart from repeated stars
  for (const pattern of [...new Set(patterns)].sort((a, b) => a.length - b.length)) {
    spend(effort, kept.reduce((sum, other) => sum + other.length, 1) * (pattern.length + 1));
    if (!kept.some((other) => matches(other, pattern))) kept.push(pattern);
    if (kept.length > MAX_PATTERNS)
      throw new Problem('conflict', `The policies compose to more than ${MAX_PATTERNS} patterns of tools.`);
  }
  return kept;
}
