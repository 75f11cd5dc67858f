import type { Steps } from '../slices.ts';

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
  /** The scope and audience within which a subject has one value; what is measured elsewhere does not contradict it. */
  stands?: string;
}

interface Measure {
  value: number;
  unit: string;
}
interface Statement {
  /** Where it was said apart from the words. */
  stands?: string | undefined;
  subject: string[];
  /** Words with digits in them, such as v2 or p95: they tell subjects apart. */
  marks: string[];
  measures: Measure[];
}

const MAX_STATEMENTS = 12;
/** Of a word, beyond what the index keeps of it. */
const LONGEST_ENDING = 6;
const MAX_CHARACTERS = 8_000;
const SHARED = 0.5;

/** For each claim in a conflict, the ids of what it conflicts with. */
export function* findConflicts(claims: Claim[]): Steps<Map<string, string[]>> {
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
  for (const [a, b] of unequalValues(claims)) both(a, b);
  const stated = yield* statedIn(claims.filter(({ text }) => text !== ''));
  for (const [i, a] of stated.entries())
    for (const b of stated.slice(i + 1)) {
      yield;
      if ((a.claim.isClaim || b.claim.isClaim) && differ(a, b)) both(a.claim, b.claim);
    }
  return found;
}

/** What a claim is about, for those that have a subject: within one scope and audience it has one value. */
export function statementKey({ subject }: { subject?: unknown }, stands: string): string | undefined {
  const named = typeof subject === 'string' ? plain(subject) : '';
  return named === '' ? undefined : `${stands} ${named}`;
}

/** Without case and spacing alone: C, C++ and C# are three. */
const plain = (text: string) => text.normalize('NFKC').toLowerCase().replaceAll(/\s+/gu, ' ').trim();

/** Claims of one subject whose values, text or number, are not the same. */
function unequalValues(claims: Claim[]): [Claim, Claim][] {
  const valued = new Map<string, { claim: Claim; value: string; unit: string }[]>();
  for (const claim of claims) {
    const key = claim.stands === undefined ? undefined : statementKey(claim.measure ?? {}, claim.stands);
    const value = statedValue(claim.measure?.value);
    if (key === undefined || value === undefined) continue;
    const unit = typeof claim.measure?.unit === 'string' ? plain(claim.measure.unit) : '';
    valued.set(key, [...(valued.get(key) ?? []), { claim, value, unit }]);
  }
  return [...valued.values()].flatMap((same) =>
    same.flatMap((a, i) =>
      same
        .slice(i + 1)
        .filter((b) => a.value !== b.value && (a.unit === b.unit || a.unit === '' || b.unit === ''))
        .map((b): [Claim, Claim] => [a.claim, b.claim]),
    ),
  );
}

/** A value as it is compared: a number by what it counts. */
export function statedValue(value: unknown): string | undefined {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  const text = typeof value === 'string' ? plain(value) : '';
  if (text === '') return undefined;
  return Number.isFinite(Number(text)) ? String(Number(text)) : text;
}

/** What is stated, in the order of the claims. Of what is no claim itself only what has a word of a claim's subject: nothing else can differ from one. */
function* statedIn(claims: Claim[]): Steps<Stated[]> {
  const own = new Map<Claim, Statement[]>();
  for (const claim of claims) {
    yield;
    if (claim.isClaim) own.set(claim, statementsOf(claim));
  }
  if (own.size === 0) return [];
  const spokenOf = new Set([...own.values()].flatMap((statements) => statements.flatMap(({ subject }) => subject)));
  const stated: Stated[] = [];
  for (const claim of claims) {
    yield;
    const isSpokenOf = claim.words.some((word) => spokenOf.has(word)) || claim.measure?.subject;
    const statements = own.get(claim) ?? (isSpokenOf ? statementsOf(claim) : []);
    if (statements.length > 0) stated.push({ claim, statements, hasSubject: hasSubject(claim) });
  }
  return stated;
}

interface Stated {
  claim: Claim;
  statements: Statement[];
  /** Apart from the words. */
  hasSubject: boolean;
}

const hasSubject = ({ stands, measure = {} }: Claim) => stands !== undefined && statementKey(measure, '') !== undefined;

/** They measure the same, and nowhere the same number. Of two that both name their subject the words do not count. */
function differ(a: Stated, b: Stated): boolean {
  const onlyNamed = a.hasSubject && b.hasSubject;
  const of = ({ statements }: Stated) => (onlyNamed ? statements.filter(({ stands }) => stands !== undefined) : statements);
  let differs = false;
  for (const one of of(a))
    for (const other of of(b)) {
      // of another project, or for others
      if (one.stands !== undefined && other.stands !== undefined && one.stands !== other.stands) continue;
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
  const has = (statement: Statement, unit: string) =>
    statement.subject.includes(unit) || statement.measures.some((measure) => measure.unit === unit);
  const units =
    a.measures.some(({ unit }) => unit && has(b, unit)) || b.measures.some(({ unit }) => unit && has(a, unit)) ? 1 : 0;
  if (shared.length === 0 || shared.length + units < Math.min(2, fewer) || shared.length < SHARED * fewer) return false;
  return !isSubstituted(a.subject, b.subject);
}

const without = (words: string[], others: string[]) => words.filter((word) => !others.includes(word));

/** One word in the place of another and all else the same: another subject in the same frame (staging, production). */
function isSubstituted(a: string[], b: string[]): boolean {
  if (a.length !== b.length) return false;
  const other = a.flatMap((word, i) => (word === b[i] ? [] : [[word, b[i]!] as const]));
  // backup, back: forms of a word
  return other.length === 1 && other[0]![0].slice(0, 4) !== other[0]![1].slice(0, 4);
}

const magnitudes: Record<string, number> = { k: 1e3, m: 1e6, g: 1e9, b: 1e9 };
// A number that stands alone, with what is written onto it: not within a name, a date, a time or a version.
const numeral =
  /(?<![\p{L}\p{N}_.:/#@-])([$€£¥])?(-?\d{1,3}(?:[,'’ ]\d{3})+|-?\d+)(\.\d+)?\s?(%|[\p{L}µ°]+)?(?![\p{L}\p{N}_:/]|[-.]\d)/gu;

function statementsOf({ text, words, measure, stands }: Claim): Statement[] {
  const lexemes = new Set(words);
  const said = text
    .slice(0, MAX_CHARACTERS)
    .split(/(?<=[.!?。！？;])\s+|\n+/u)
    .filter((sentence) => /\d/.test(sentence))
    .slice(0, MAX_STATEMENTS)
    .flatMap((sentence) => statementOf(sentence, lexemes));
  const { subject, unit, value } = measure ?? {};
  if (typeof subject !== 'string' || !Number.isFinite(Number(value)) || value === '') return said;
  const stemmed = (word: string) => lexemeOf(word, lexemes) ?? word.toLowerCase().replace(/(?<=...)s$/, '');
  const ofSubject = [...new Set((subject.match(/\p{L}+/gu) ?? []).map(stemmed))];
  return [
    {
      stands,
      subject: ofSubject,
      marks: [],
      measures: [{ value: Number(value), unit: typeof unit === 'string' ? stemmed(unit) : '' }],
    },
    ...said,
  ];
}

function statementOf(sentence: string, lexemes: Set<string>): Statement[] {
  const measures: Measure[] = [];
  const rest = sentence.replaceAll(
    numeral,
    (whole, currency: string | undefined, digits: string, fraction = '', beside = '', at: number) => {
      const magnitude = beside.length === 1 && Object.hasOwn(magnitudes, beside.toLowerCase()) ? beside.toLowerCase() : undefined;
      const next = magnitude ? (/^[\s-]*(\p{L}+)/u.exec(sentence.slice(at + whole.length))?.[1] ?? '') : beside;
      const isAbbreviation = next !== '' && (next === '%' || whole.endsWith(`${digits}${fraction}${next}`));
      const unit = currency ?? (next && lexemeOf(next, lexemes)) ?? (isAbbreviation ? next.toLowerCase() : '');
      const number = Number(digits.replaceAll(/[,'’ ]/g, '') + fraction);
      measures.push({ value: number * (magnitude ? magnitudes[magnitude]! : 1), unit });
      return unit !== '' || magnitude ? ' ' : ` ${beside}`;
    },
  );
  if (measures.length === 0) return [];
  const units = new Set(measures.map(({ unit }) => unit));
  const all = rest.match(/[\p{L}\p{N}_]+/gu) ?? [];
  const named = all.filter((word) => !/\d/.test(word)).map((word) => lexemeOf(word, lexemes));
  const subject = [...new Set(named)].filter((word) => word !== undefined && !units.has(word)) as string[];
  const marks = all.filter((word) => /\d/.test(word) && /\p{L}/u.test(word)).map((word) => word.toLowerCase());
  return [{ subject, marks, measures }];
}

/** The word of the index that a word of the text is a form of. */
function lexemeOf(word: string, lexemes: Set<string>): string | undefined {
  const plain = word.normalize('NFKC').toLowerCase();
  for (let end = plain.length; end > 0 && end >= plain.length - LONGEST_ENDING; end -= 1) {
    const stem = plain.slice(0, end);
    if (lexemes.has(stem)) return stem;
    // carry, carried: carri
    if (stem.endsWith('y') && lexemes.has(`${stem.slice(0, -1)}i`)) return `${stem.slice(0, -1)}i`;
  }
  return undefined;
}
