import { z } from 'zod';
import { oneLine } from '../http/name.ts';

// Patterns of namespaces. The segments of a name are separated by "/". `*` stands for one segment and `**` for any number of segments. A pattern
// without `**` whose last segment is not `*` also covers everything under it: `agent://demo` covers `agent://demo/x`.

const MAX_PATTERN_LENGTH = 255;
const MAX_PATTERNS = 16;

const segmentsOf = (text: string): string[] => text.split('/');
const isWildcard = (segment: string): boolean => segment === '*' || segment === '**';

/** With at most one `**`, a comparison takes one pass over the segments. */
export const pattern = oneLine
  .max(MAX_PATTERN_LENGTH)
  .refine((text) => !text.endsWith('/'), 'must not end with "/"')
  .refine(
    (text) => segmentsOf(text).every((segment) => isWildcard(segment) || !segment.includes('*')),
    'must contain * and ** only as whole segments',
  )
  .refine((text) => segmentsOf(text).filter((segment) => segment === '**').length <= 1, 'must contain ** at most once');

export const patterns = z.union([pattern, z.array(pattern).min(1).max(MAX_PATTERNS)]);
export type Patterns = z.output<typeof patterns>;

/** Returns a function that tests whether the patterns cover a name; undefined stands for all names. */
export function coverageOf(given: Patterns): (name: string | undefined) => boolean {
  const split = [given].flat().map(segmentsOf);
  const coversAll = split.some((segments) => segments.length === 1 && segments[0] === '**');
  return (name) => {
    if (name === undefined) return coversAll;
    const segments = segmentsOf(name);
    return split.some((each) => isCovered(each, segments));
  };
}

function isCovered(pattern: string[], name: string[]): boolean {
  const gap = pattern.indexOf('**');
  if (gap < 0) {
    const coversMore = pattern.at(-1) !== '*';
    return (coversMore ? name.length >= pattern.length : name.length === pattern.length) && matches(pattern, name);
  }
  const [head, tail] = [pattern.slice(0, gap), pattern.slice(gap + 1)];
  if (name.length < head.length + tail.length) return false;
  return matches(head, name) && matches(tail, name.slice(name.length - tail.length));
}

/** Returns whether the first segments of a name match. `*` matches a segment that is not empty. */
const matches = (pattern: string[], name: string[]): boolean =>
  pattern.every((segment, i) => (segment === '*' ? name[i] !== '' : segment === name[i]));
