// Extracts numeric statements from text: "the context window is 32K tokens" states a measure, 32,000 tokens, of a subject, "context window". The
// only assumption about the language is that a unit is next to its number. Words are stemmed and without stop words.

export interface Measure {
  value: number;
  /** Empty if the text has no unit. */
  unit: string;
}

export interface Statement {
  /** Set for a structured statement. */
  claim_scope?: string | undefined;
  subject: string[];
  /** Words with digits, such as v2 or p95, which distinguish subjects. */
  marks: string[];
  measures: Measure[];
}

/** A text with its stemmed words, and the structured statement {subject, unit, value}, which applies within `claim_scope`. */
interface StatementSource {
  text: string;
  lexemes: string[];
  measure?: { subject?: unknown; unit?: unknown; value?: unknown };
  claim_scope?: string;
}

const MAX_STATEMENTS = 12;
const MAX_CHARACTERS = 8_000;
/** Maximum number of characters of an ending that stemming removes. */
const LONGEST_ENDING = 6;

export function statementsOf(source: StatementSource): Statement[] {
  const lexemes = new Set(source.lexemes);
  const fromText = source.text
    .slice(0, MAX_CHARACTERS)
    .split(/(?<=[.!?。！？;])\s+|\n+/u)
    .filter((sentence) => /\d/.test(sentence))
    .slice(0, MAX_STATEMENTS)
    .flatMap((sentence) => statementOf(sentence, lexemes));
  return [...structuredStatement(source, lexemes), ...fromText];
}

/** Returns the structured statement, if it has a subject and a number. */
function structuredStatement({ measure, claim_scope }: StatementSource, lexemes: Set<string>): Statement[] {
  const { subject, unit, value } = measure ?? {};
  if (typeof subject !== 'string' || !Number.isFinite(Number(value)) || value === '') return [];
  const stemmed = (word: string) => lexemeOf(word, lexemes) ?? word.toLowerCase().replace(/(?<=...)s$/, '');
  const measures = [{ value: Number(value), unit: typeof unit === 'string' ? stemmed(unit) : '' }];
  return [{ claim_scope, subject: [...new Set((subject.match(/\p{L}+/gu) ?? []).map(stemmed))], marks: [], measures }];
}

/** Returns the numbers of a sentence and its subject: the indexed words of the sentence that are not units of these numbers. */
function statementOf(sentence: string, lexemes: Set<string>): Statement[] {
  const numbers = [...sentence.matchAll(NUMERAL)].map((numeral) => measureOf(numeral, sentence, lexemes));
  if (numbers.length === 0) return [];
  const measures = numbers.map(({ measure }) => measure);
  const units = new Set(measures.map(({ unit }) => unit));
  const remainders = numbers.map((number) => number.left);
  const words = sentence.replaceAll(NUMERAL, () => ` ${remainders.shift()}`).match(/[\p{L}\p{N}_]+/gu) ?? [];
  const indexedWords = words.filter((word) => !/\d/.test(word)).map((word) => lexemeOf(word, lexemes));
  const subject = [...new Set(indexedWords)].filter((word) => word !== undefined && !units.has(word)) as string[];
  const marks = words.filter((word) => /\d/.test(word) && /\p{L}/u.test(word)).map((word) => word.toLowerCase());
  return [{ subject, marks, measures }];
}

/** A number with its currency and unit; not a part of a name, a date, a time or a version. */
const NUMERAL = new RegExp(
  [
    String.raw`(?<![\p{L}\p{N}_.:/#@-])`,
    '(?<currency>[$€£¥])?',
    String.raw`(?<digits>-?\d{1,3}(?:[,'’ ]\d{3})+|-?\d+)(?<fraction>\.\d+)?`,
    String.raw`\s?(?<beside>%|[\p{L}µ°]+)?`,
    String.raw`(?![\p{L}\p{N}_:/]|[-.]\d)`,
  ].join(''),
  'gu',
);
const magnitudes: Record<string, number> = { k: 1e3, m: 1e6, g: 1e9, b: 1e9 };

/** Returns the measure of "32K tokens", "$40", "30s" or "32.5 Prozent". `left` is the word after the number if it is not a unit. */
function measureOf(numeral: RegExpExecArray, sentence: string, lexemes: Set<string>): { measure: Measure; left: string } {
  const { currency, digits, fraction = '', beside = '' } = numeral.groups!;
  const number = Number(digits!.replaceAll(/[,'’ ]/g, '') + fraction);
  const magnitude = Object.hasOwn(magnitudes, beside.toLowerCase()) ? magnitudes[beside.toLowerCase()]! : undefined;
  const after = sentence.slice(numeral.index + numeral[0].length);
  const next = magnitude ? (/^[\s-]*(\p{L}+)/u.exec(after)?.[1] ?? '') : beside;
  // a word attached to the number is a unit even if the index has dropped it
  const isAbbreviation = next !== '' && (next === '%' || numeral[0].endsWith(`${digits}${fraction}${next}`));
  const unit = currency ?? (next && lexemeOf(next, lexemes)) ?? (isAbbreviation ? next.toLowerCase() : '');
  return { measure: { value: number * (magnitude ?? 1), unit }, left: unit !== '' || magnitude ? '' : beside };
}

/** Returns the lexeme of a word, or undefined if the word is not indexed. */
export function lexemeOf(word: string, lexemes: Set<string>): string | undefined {
  const plain = word.normalize('NFKC').toLowerCase();
  for (let end = plain.length; end > 0 && end >= plain.length - LONGEST_ENDING; end -= 1) {
    const stem = plain.slice(0, end);
    if (lexemes.has(stem)) return stem;
    // carry, carried: carri
    if (stem.endsWith('y') && lexemes.has(`${stem.slice(0, -1)}i`)) return `${stem.slice(0, -1)}i`;
  }
  return undefined;
}
