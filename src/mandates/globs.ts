// Patterns of tool and model names. `*` matches any text, also none; every other character matches itself.

/**
 * Returns whether a pattern matches a text. Takes at most the product of both lengths, which are limited to 255 characters. A pattern as the
 * text is matched as text, which decides whether the first pattern matches everything that the second one does: only `*` matches `*`.
 */
export function matches(pattern: string, text: string): boolean {
  let at = 0;
  let star = -1;
  let resume = 0;
  let place = 0;
  while (place < text.length)
    if (pattern[at] === '*') {
      star = at;
      at += 1;
      resume = place;
    } else if (pattern[at] === text[place]) {
      at += 1;
      place += 1;
    } else if (star >= 0) {
      at = star + 1;
      resume += 1;
      place = resume;
    } else return false;
  while (pattern[at] === '*') at += 1;
  return at === pattern.length;
}

export const matchesAny = (patterns: readonly string[], text: string): boolean => patterns.some((one) => matches(one, text));

/** Returns the most specific of the patterns that match: the text itself, or else the one with the most other characters than `*`. */
export function mostSpecific(patterns: readonly string[], text: string): string | undefined {
  const literal = (pattern: string) => (pattern === text ? Number.POSITIVE_INFINITY : pattern.replaceAll('*', '').length);
  return patterns
    .filter((one) => matches(one, text))
    .sort((a, b) => literal(b) - literal(a) || (a < b ? -1 : 1))
    .at(0);
}
