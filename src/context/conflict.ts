// Whether two claims measure the same thing and differ: the same subject and unit with another number. No language is known here but
// that words carry what is spoken of and that a unit stands beside its number; words come stemmed and without stop words.

export interface Claim {
  /** What flags name it by. */
  id: string;
  text: string;
  /** Stemmed words of the text. */
  words: string[];
  /** Ids that it says it contradicts. */
  contradicts: string[];
  /** Ids that others may call it by. */
  ids: string[];
  /** A fact, summary or note; of two that differ one is. */
  isClaim: boolean;
  /** Said apart from the words: {subject, unit, value}. */
  measure?: { subject?: unknown; unit?: unknown; value?: unknown };
}

interface Measure {
  value: number;
  unit: string;
}
interface Statement {
  subject: string[];
  /** Words with digits in them, such as v2 or p95: they tell subjects apart. */
  marks: string[];
  measures: Measure[];
}

const MAX_STATEMENTS = 12;
const STEM = 5;
const SHARED = 0.5;

/** For each claim in a conflict, the ids of what it conflicts with. */
export function findConflicts(claims: Claim[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  const put = (id: string, other: string) => {
    const others = found.get(id) ?? [];
    if (id !== other && !others.includes(other)) found.set(id, [...others, other]);
  };
  const both = (a: Claim, b: Claim) => {
    put(a.id, b.id);
    put(b.id, a.id);
  };
  const byId = new Map(claims.flatMap((claim) => claim.ids.map((id) => [id, claim] as const)));
  for (const claim of claims)
    for (const id of claim.contradicts) {
      const other = byId.get(id);
      if (other) both(claim, other);
      else put(claim.id, id);
    }
  const stated = claims
    .map((claim) => ({ claim, statements: statementsOf(claim) }))
    .filter(({ statements }) => statements.length > 0);
  for (const [i, a] of stated.entries())
    for (const b of stated.slice(i + 1))
      if ((a.claim.isClaim || b.claim.isClaim) && differ(a.statements, b.statements)) both(a.claim, b.claim);
  return found;
}

/** They measure the same, and nowhere the same number. */
function differ(a: Statement[], b: Statement[]): boolean {
  let differs = false;
  for (const one of a)
    for (const other of b) {
      if (!isSameSubject(one, other)) continue;
      const pairs = one.measures.flatMap((m) => other.measures.filter((n) => isSameUnit(m, n)).map((n) => m.value === n.value));
      if (pairs.includes(true)) return false;
      differs ||= pairs.length > 0;
    }
  return differs;
}

const isSameUnit = (a: Measure, b: Measure) => a.unit === b.unit || a.unit === '' || b.unit === '';

function isSameSubject(a: Statement, b: Statement): boolean {
  const [onlyA, onlyB] = [without(a.marks, b.marks), without(b.marks, a.marks)];
  if (onlyA.length > 0 && onlyB.length > 0) return false;
  const shared = a.subject.filter((word) => b.subject.includes(word));
  const fewer = Math.min(a.subject.length, b.subject.length);
  // a unit in common is a word in common: "32K tokens of context", "the context takes 65K tokens"
  const units = a.measures.some(({ unit }) => unit !== '' && b.measures.some((other) => other.unit === unit)) ? 1 : 0;
  if (shared.length === 0 || shared.length + units < Math.min(2, fewer) || shared.length < SHARED * fewer) return false;
  return !isSubstituted(a.subject, b.subject);
}

const without = (words: string[], others: string[]) => words.filter((word) => !others.includes(word));

/** One word in the place of another and all else the same: another subject in the same frame (staging, production). */
function isSubstituted(a: string[], b: string[]): boolean {
  return a.length === b.length && a.filter((word, i) => word !== b[i]).length === 1;
}

const magnitudes: Record<string, number> = { k: 1e3, m: 1e6, g: 1e9, b: 1e9 };
// A number that stands alone, with what is written onto it: not within a name, a date, a time or a version.
const numeral =
  /(?<![\p{L}\p{N}_.:/#@-])([$€£¥])?(-?\d{1,3}(?:[,'’ ]\d{3})+|-?\d+)(\.\d+)?\s?(%|[\p{L}µ°]+)?(?![\p{L}\p{N}_:/]|[-.]\d)/gu;

function statementsOf({ text, words, measure }: Claim): Statement[] {
  const stems = new Set(words.map(stemOf));
  const said = text
    .split(/(?<=[.!?。！？;])\s+|\n+/u)
    .filter((sentence) => /\d/.test(sentence))
    .slice(0, MAX_STATEMENTS)
    .flatMap((sentence) => statementOf(sentence, stems));
  const { subject, unit, value } = measure ?? {};
  if (typeof subject !== 'string' || !Number.isFinite(Number(value)) || value === '') return said;
  const ofSubject = contentWords(subject);
  return [
    { subject: ofSubject, marks: [], measures: [{ value: Number(value), unit: typeof unit === 'string' ? stemOf(unit) : '' }] },
    ...said,
  ];
}

function statementOf(sentence: string, stems: Set<string>): Statement[] {
  const measures: Measure[] = [];
  const isContent = (word: string) => stems.has(stemOf(word));
  const rest = sentence.replaceAll(
    numeral,
    (whole, currency: string | undefined, digits: string, fraction = '', beside = '', at: number) => {
      const number = Number(digits.replaceAll(/[,'’ ]/g, '') + fraction);
      const magnitude =
        beside.length === 1 && Object.hasOwn(magnitudes, beside.toLowerCase()) ? magnitudes[beside.toLowerCase()]! : 1;
      const next = magnitude === 1 ? beside : (/^[\s-]*(\p{L}+)/u.exec(sentence.slice(at + whole.length))?.[1] ?? '');
      const isUnit =
        next !== '' && (next === '%' || isContent(next) || (next.length <= 3 && whole.endsWith(`${digits}${fraction}${next}`)));
      measures.push({ value: number * magnitude, unit: currency ?? (isUnit ? stemOf(next) : '') });
      return isUnit || magnitude !== 1 ? ' ' : ` ${beside}`;
    },
  );
  if (measures.length === 0) return [];
  const units = new Set(measures.map(({ unit }) => unit));
  const all = rest.match(/[\p{L}\p{N}_]+/gu) ?? [];
  const subject = [...new Set(all.filter((word) => !/\d/.test(word) && isContent(word)).map(stemOf))].filter(
    (word) => !units.has(word),
  );
  return [
    { subject, marks: all.filter((word) => /\d/.test(word) && /\p{L}/u.test(word)).map((word) => word.toLowerCase()), measures },
  ];
}

const contentWords = (text: string) => [...new Set((text.match(/\p{L}+/gu) ?? []).map(stemOf))];

/** Enough of a word to tell it by, and the same for its forms. */
const stemOf = (word: string) =>
  word
    .normalize('NFKC')
    .toLowerCase()
    .replace(/(?<=...)s$/, '')
    .slice(0, STEM);
