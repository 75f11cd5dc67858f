// Builds the header of a passage: additional words that a query may contain, namely actor, kind, names and labels. SQL adds the date, because the
// time of an event without one is known only at the commit.

const MAX_CHARACTERS = 1_000;

export interface HeaderSource {
  actor_id: string;
  kind: string;
  tags: string[];
  /** The name of a tool, a path, a title. */
  names: string[];
}

/** Returns the header of every passage of an event, at most 1,000 characters. */
export function headerOf({ actor_id, kind, tags, names }: HeaderSource): string {
  // truncated first, because no more than this fits in the header
  const labels = tags
    .join(' ')
    .slice(0, MAX_CHARACTERS)
    .replaceAll(/[:_/-]+/g, ' ');
  return [actor_id, kind === 'message' ? '' : kind.replaceAll('_', ' '), ...names, labels]
    .filter((word) => word !== '')
    .join(' ')
    .slice(0, MAX_CHARACTERS)
    .toWellFormed();
}
