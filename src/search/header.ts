// What a question may use beside the passage's own words: who, what kind, labels, and the parts of names written together.
// The date is added where the row is written, because only there the time of an event without one is known.

const MAX_PARTS = 48;
const MAX_CHARACTERS = 1_000;

export interface Surroundings {
  actor_id: string;
  kind: string;
  tags: string[];
  /** A tool's name, a path, a title: what the event says of itself beside its text. */
  names: string[];
}

export function headerOf(about: Surroundings, passage: string): string {
  const kind = about.kind === 'message' ? '' : about.kind.replaceAll('_', ' ');
  const labels = about.tags.map((tag) => tag.replaceAll(/[:_/-]+/g, ' '));
  const words = [
    about.actor_id,
    kind,
    ...about.names,
    ...labels,
    ...partsOf([about.actor_id, ...about.names, passage].join(' ')),
  ];
  return words
    .filter((word) => word !== '')
    .join(' ')
    .slice(0, MAX_CHARACTERS)
    .toWellFormed();
}

const LONGEST_NAME = 200;
const joined = /[./\\:@#_-][A-Za-z0-9]|[a-z0-9][A-Z]/;

/** `readFileSync`, `src/db/query.ts`: the index keeps them as one word, a question names their parts. */
function partsOf(text: string): Set<string> {
  const parts = new Set<string>();
  // Runs first, then their parts: one expression for both went back and forth over long runs (0.5 s for 60,000 letters).
  for (const [name] of text.matchAll(/[A-Za-z0-9_./\\:@#-]+/g)) {
    if (name.length > LONGEST_NAME || !joined.test(name)) continue;
    for (const part of name.split(/[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])/))
      if (part.length > 1 && part.length < 64) parts.add(part);
    if (parts.size >= MAX_PARTS) break;
  }
  return parts;
}
