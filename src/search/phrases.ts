import type { Tenant } from '../db/tenant.ts';
import type { Ranked } from './rank.ts';
import { countPhrases } from './sql.ts';

/** Maximum number of phrases of a query, and of characters of one; further and longer ones are searched by their words. */
const MAX_PHRASES = 8;
const MAX_CHARACTERS = 500;
/** Number of passages, best first, whose text is compared with the phrases. */
const MAX_COMPARED = 400;

export const QUOTED = /"([^"]+)"|[“„]([^“”„]+)[“”]|«([^«»]+)»|「([^「」]+)」/gu;

/** Returns the quoted phrases of a query: `"connection reset by peer"`, also in typographic quotation marks. */
export function phrasesIn(query: string): string[] {
  const quoted = [...query.matchAll(QUOTED)].map((match) =>
    match
      .slice(1)
      .find((text) => text !== undefined)!
      .trim(),
  );
  const phrases = quoted.filter((text) => /[\p{L}\p{N}\p{S}]/u.test(text) && text.length <= MAX_CHARACTERS);
  return [...new Set(phrases)].slice(0, MAX_PHRASES);
}

export const withoutPhrases = (query: string): string => query.replace(QUOTED, ' ');

/**
 * Sorts passages by the number n of phrases that they contain, then by score. With p phrases, a score becomes (n + score) / (p + 1). Returns
 * `ranked` unchanged if no passage contains a phrase.
 */
export async function rankPhrases(tenant: Tenant, phrases: string[], ranked: Ranked[]): Promise<Ranked[]> {
  if (phrases.length === 0) return ranked;
  const rows = await countPhrases(tenant, ranked.slice(0, MAX_COMPARED), phrases);
  if (rows.length === 0) return ranked;
  const counts = new Map(rows.map(({ seq, ordinal, phrases: count }) => [`${seq}.${ordinal}`, count]));
  return ranked
    .map((row) => {
      const count = counts.get(`${row.seq}.${row.ordinal}`) ?? 0;
      return { ...row, score: (count + row.score) / (phrases.length + 1), scores: { ...row.scores, phrases: count } };
    })
    .sort((a, b) => b.score - a.score || b.seq - a.seq || a.ordinal - b.ordinal);
}
