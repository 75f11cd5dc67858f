import type { Steps } from '../slices.ts';
import { type Measure, type Statement, statementsOf } from './statements.ts';

// Which claims contradict each other: one says so of the other; they give one subject different values; or their words measure the same
// thing, the same subject and unit, with another number.

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

/** For each claim in a conflict, the ids of what it conflicts with. */
export function* findConflicts(claims: Claim[]): Steps<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  const put = (id: string, other: string) => {
    const others = found.get(id) ?? [];
    if (id !== other && !others.includes(other)) found.set(id, [...others, other]);
  };
  for (const [id, other] of declared(claims)) put(id, other);
  const unequal = [...unequalValues(claims), ...(yield* unequalMeasures(claims))];
  for (const [a, b] of unequal) {
    put(a.id, b.id);
    put(b.id, a.id);
  }
  return found;
}

/** What claims say that they contradict, by ids; where both are here, of both. */
function declared(claims: Claim[]): [string, string][] {
  const byId = new Map(claims.flatMap((claim) => claim.ids.map((id) => [id, claim.id] as const)));
  return claims.flatMap(({ id, contradicts }) =>
    contradicts.flatMap((named): [string, string][] => {
      const other = byId.get(named);
      return other === undefined
        ? [[id, named]]
        : [
            [id, other],
            [other, id],
          ];
    }),
  );
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

/** Of two of which one at least is a claim. */
function* unequalMeasures(claims: Claim[]): Steps<[Claim, Claim][]> {
  const stated = yield* statedIn(claims.filter(({ text }) => text !== ''));
  const pairs: [Claim, Claim][] = [];
  for (const [i, a] of stated.entries())
    for (const b of stated.slice(i + 1)) {
      yield;
      if ((a.claim.isClaim || b.claim.isClaim) && differ(a, b)) pairs.push([a.claim, b.claim]);
    }
  return pairs;
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

const SHARED = 0.5;

/** Most words of the shorter subject are in the other, and neither has a mark that the other lacks for one of its own. */
function isSameSubject(a: Statement, b: Statement): boolean {
  if (without(a.marks, b.marks).length > 0 && without(b.marks, a.marks).length > 0) return false;
  const shared = a.subject.filter((word) => b.subject.includes(word)).length;
  const fewer = Math.min(a.subject.length, b.subject.length);
  // a unit in common is a word in common: "32K tokens of context", "the context takes 65K tokens"
  const units = speaksOfUnit(a, b) || speaksOfUnit(b, a) ? 1 : 0;
  if (shared === 0 || shared + units < Math.min(2, fewer) || shared < SHARED * fewer) return false;
  return !isSubstituted(a.subject, b.subject);
}

/** Whether one speaks of a unit in which the other measures. */
const speaksOfUnit = (one: Statement, other: Statement): boolean =>
  other.measures.some(
    ({ unit }) => unit && (one.subject.includes(unit) || one.measures.some((measure) => measure.unit === unit)),
  );

const without = (words: string[], others: string[]) => words.filter((word) => !others.includes(word));

/** One word in the place of another and all else the same: another subject in the same frame (staging, production). */
function isSubstituted(a: string[], b: string[]): boolean {
  if (a.length !== b.length) return false;
  const other = a.flatMap((word, i) => (word === b[i] ? [] : [[word, b[i]!] as const]));
  // backup, back: forms of a word
  return other.length === 1 && other[0]![0].slice(0, 4) !== other[0]![1].slice(0, 4);
}
