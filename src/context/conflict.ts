import type { Steps } from '../slices.ts';
import { type Measure, type Statement, statementsOf } from './statements.ts';

// Which claims contradict each other: one says so of the other; they give one subject different values; or their words measure the same
// thing, the same subject and unit, with another number.

export interface Claim {
  /** What flags name it by. */
  id: string;
  text: string;
  /** Stemmed words of the text. */
  lexemes: string[];
  /** Ids that it says it contradicts. */
  contradicts: string[];
  /** Ids that others may call it by. */
  ids: string[];
  /** A fact, summary or note; of two that differ one is. */
  isClaim: boolean;
  /** Said apart from the words: {subject, unit, value}. */
  measure?: { subject?: unknown; unit?: unknown; value?: unknown };
  /** The scope and audience within which a subject has one value; what is measured elsewhere does not contradict it. */
  claim_scope?: string;
}

/** For each claim in a conflict, the ids of what it conflicts with. */
export function* findConflicts(claims: Claim[]): Steps<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  const add = (id: string, other: string) => {
    const others = found.get(id) ?? [];
    if (id !== other && !others.includes(other)) found.set(id, [...others, other]);
  };
  for (const [id, other] of declaredConflicts(claims)) add(id, other);
  const conflicting = [...conflictingValues(claims), ...(yield* conflictingMeasures(claims))];
  for (const [a, b] of conflicting) {
    add(a.id, b.id);
    add(b.id, a.id);
  }
  return found;
}

/** What claims say that they contradict, by ids; where both are here, of both. */
function declaredConflicts(claims: Claim[]): [string, string][] {
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
export function subjectKey({ subject }: { subject?: unknown }, claim_scope: string): string | undefined {
  const named = typeof subject === 'string' ? normalize(subject) : '';
  return named === '' ? undefined : `${claim_scope} ${named}`;
}

/** Without case and spacing alone: C, C++ and C# are three. */
const normalize = (text: string) => text.normalize('NFKC').toLowerCase().replaceAll(/\s+/gu, ' ').trim();

/** Claims of one subject whose values, text or number, are not the same. */
function conflictingValues(claims: Claim[]): [Claim, Claim][] {
  const valued = new Map<string, { claim: Claim; value: string; unit: string }[]>();
  for (const claim of claims) {
    const key = claim.claim_scope === undefined ? undefined : subjectKey(claim.measure ?? {}, claim.claim_scope);
    const value = comparableValue(claim.measure?.value);
    if (key === undefined || value === undefined) continue;
    const unit = typeof claim.measure?.unit === 'string' ? normalize(claim.measure.unit) : '';
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
export function comparableValue(value: unknown): string | undefined {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  const text = typeof value === 'string' ? normalize(value) : '';
  if (text === '') return undefined;
  return Number.isFinite(Number(text)) ? String(Number(text)) : text;
}

/** Of two of which one at least is a claim. */
function* conflictingMeasures(claims: Claim[]): Steps<[Claim, Claim][]> {
  const stated = yield* collectStatements(claims.filter(({ text }) => text !== ''));
  const pairs: [Claim, Claim][] = [];
  for (const [i, a] of stated.entries())
    for (const b of stated.slice(i + 1)) {
      yield;
      if ((a.claim.isClaim || b.claim.isClaim) && measureDifferently(a, b)) pairs.push([a.claim, b.claim]);
    }
  return pairs;
}

/** What is stated, in the order of the claims. Of what is no claim itself only what has a word of a claim's subject: nothing else can differ from one. */
function* collectStatements(claims: Claim[]): Steps<ClaimStatements[]> {
  const own = new Map<Claim, Statement[]>();
  for (const claim of claims) {
    yield;
    if (claim.isClaim) own.set(claim, statementsOf(claim));
  }
  if (own.size === 0) return [];
  const subjectWords = new Set([...own.values()].flatMap((statements) => statements.flatMap(({ subject }) => subject)));
  const stated: ClaimStatements[] = [];
  for (const claim of claims) {
    yield;
    const mentionsSubject = claim.lexemes.some((word) => subjectWords.has(word)) || claim.measure?.subject;
    const statements = own.get(claim) ?? (mentionsSubject ? statementsOf(claim) : []);
    if (statements.length > 0) stated.push({ claim, statements, hasSubject: hasSubject(claim) });
  }
  return stated;
}

interface ClaimStatements {
  claim: Claim;
  statements: Statement[];
  /** Apart from the words. */
  hasSubject: boolean;
}

const hasSubject = ({ claim_scope, measure = {} }: Claim) => claim_scope !== undefined && subjectKey(measure, '') !== undefined;

/** They measure the same, and nowhere the same number. Of two that both name their subject the words do not count. */
function measureDifferently(a: ClaimStatements, b: ClaimStatements): boolean {
  const onlyNamed = a.hasSubject && b.hasSubject;
  const comparedStatements = ({ statements }: ClaimStatements) =>
    onlyNamed ? statements.filter(({ claim_scope }) => claim_scope !== undefined) : statements;
  let differs = false;
  for (const one of comparedStatements(a))
    for (const other of comparedStatements(b)) {
      // of another project, or for others
      if (one.claim_scope !== undefined && other.claim_scope !== undefined && one.claim_scope !== other.claim_scope) continue;
      if (!isSameSubject(one, other)) continue;
      const pairs = one.measures.flatMap((m) => other.measures.filter((n) => isSameUnit(m, n)).map((n) => m.value === n.value));
      if (pairs.includes(true)) return false;
      differs ||= pairs.length > 0;
    }
  return differs;
}

const isSameUnit = (a: Measure, b: Measure) => a.unit === b.unit || a.unit === '' || b.unit === '';

const MIN_SHARED_SUBJECT = 0.5;

/** Most words of the shorter subject are in the other, and neither has a mark that the other lacks for one of its own. */
function isSameSubject(a: Statement, b: Statement): boolean {
  if (without(a.marks, b.marks).length > 0 && without(b.marks, a.marks).length > 0) return false;
  const shared = a.subject.filter((word) => b.subject.includes(word)).length;
  const fewer = Math.min(a.subject.length, b.subject.length);
  // a unit in common is a word in common: "32K tokens of context", "the context takes 65K tokens"
  const units = mentionsUnit(a, b) || mentionsUnit(b, a) ? 1 : 0;
  if (shared === 0 || shared + units < Math.min(2, fewer) || shared < MIN_SHARED_SUBJECT * fewer) return false;
  return !isSubstituted(a.subject, b.subject);
}

/** Whether one speaks of a unit in which the other measures. */
const mentionsUnit = (one: Statement, other: Statement): boolean =>
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
