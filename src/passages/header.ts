// What a question may use beside the passage's own words: who, what kind, labels, and the parts of names written together.
// The date is added where the row is written, because only there the time of an event without one is known.

const MAX_PARTS = 48;
const MAX_CHARACTERS = 1_000;

export interface HeaderSource {
  actor_id: string;
  kind: string;
  tags: string[];
  /** A tool's name, a path, a title: what the event says of itself beside its text. */
  names: string[];
}

/** Makes the headers of one event's passages: what they share is written once, for there may be 256 tags and a thousand passages. */
export function headersFor(about: HeaderSource): (passage: string) => string {
  const kind = about.kind === 'message' ? '' : about.kind.replaceAll('_', ' ');
  // cut before it is rewritten: what lies beyond could not be in the header
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
const joined = /[./\\:@#_-][A-Za-z0-9]|[a-z0-9][A-Z]/;

/** `readFileSync`, `src/db/query.ts`: the index keeps them as one word, a question names their parts. */
export function partsOf(text: string, known: Iterable<string> = []): Set<string> {
  const parts = new Set(known);
  // Runs first, then their parts: one expression for both went back and forth over long runs (0.5 s for 60,000 letters).
  for (const [name] of text.matchAll(/[A-Za-z0-9_./\\:@#-]+/g)) {
    if (parts.size >= MAX_PARTS) break;
    if (name.length > LONGEST_NAME || !joined.test(name)) continue;
    for (const part of name.split(/[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])/))
      if (part.length > 1 && part.length < 64) parts.add(part);
  }
  return parts;
}
