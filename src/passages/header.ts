// Builds the header of a passage: additional words that a query may contain, namely actor, kind, labels and the parts of compound names.
// SQL adds the date, because the time of an event without one is known only at the commit.

const MAX_PARTS = 48;
const MAX_CHARACTERS = 1_000;

export interface HeaderSource {
  actor_id: string;
  kind: string;
  tags: string[];
  /** The name of a tool, a path, a title. */
  names: string[];
}

/** Returns a function that builds the header of each passage. The shared part is built once, because an event may have 256 tags and a thousand passages. */
export function headersFor(about: HeaderSource): (passage: string) => string {
  const kind = about.kind === 'message' ? '' : about.kind.replaceAll('_', ' ');
  // truncated first, because no more than this fits in the header
  const labels = about.tags
    .join(' ')
    .slice(0, MAX_CHARACTERS)
    .replaceAll(/[:_/-]+/g, ' ');
  const shared = [about.actor_id, kind, ...about.names, labels].filter((word) => word !== '').join(' ');
  const own = partsOf([about.actor_id, ...about.names].join(' '));
  return (passage) => {
    if (shared.length >= MAX_CHARACTERS) return shared.slice(0, MAX_CHARACTERS).toWellFormed();
    return [shared, ...partsOf(passage, own)].join(' ').slice(0, MAX_CHARACTERS).toWellFormed();
  };
}

const LONGEST_NAME = 200;
const compound = /[./\\:@#_-][A-Za-z0-9]|[a-z0-9][A-Z]/;

/** Returns the parts of compound names such as `readFileSync` or `src/db/query.ts`: the index keeps these as one word, but a query may name a part. */
export function partsOf(text: string, known: Iterable<string> = []): Set<string> {
  const parts = new Set(known);
  // Two steps, names and then their parts: a single expression backtracked over long names (0.5 s for 60,000 letters).
  for (const [name] of text.matchAll(/[A-Za-z0-9_./\\:@#-]+/g)) {
    if (parts.size >= MAX_PARTS) break;
    if (name.length > LONGEST_NAME || !compound.test(name)) continue;
    for (const part of name.split(/[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])/))
      if (part.length > 1 && part.length < 64) parts.add(part);
  }
  return parts;
}
