import type { Steps } from '../slices.ts';
import { type Measure, type Statement, statementsOf } from './statements.ts';

// Finds claims that contradict each other: one claim declares it, they give the same subject different values, or their texts give different
// numbers for the same subject and unit.

export interface Claim {
  /** The id under which conflicts list the claim. */
  id: string;
  text: string;
  /** The lexemes of the text. */
  lexemes: string[];
  /** Ids that the claim declares to contradict. */
  contradicts: string[];
  /** Ids by which other claims may refer to this one. */
  ids: string[];
  /** True for a fact, summary or note. At least one side of a conflict between texts is one. */
  isClaim: boolean;
  /** The structured statement of the claim's body: {subject, unit, value}. */
  measure?: { subject?: unknown; unit?: unknown; value?: unknown };
  /** The scope and audience within which a subject has a single value. Values in another scope do not conflict. */
  claim_scope?: string;
}

/** Returns the ids of the conflicting claims for each claim that is in a conflict. */
export function* findConflicts(claims: Claim[]): Steps<Map<string, string[]>> {
  const conflicts = new Map<string, string[]>();
  const add = (id: string, other: string) => {
    const others = conflicts.get(id) ?? [];
    if (id !== other && !others.includes(other)) conflicts.set(id, [...others, other]);
  };
  for (const [id, other] of declaredConflicts(claims)) add(id, other);
  const conflicting = [...conflictingValues(claims), ...(yield* conflictingMeasures(claims))];
  for (const [a, b] of conflicting) {
    add(a.id, b.id);
    add(b.id, a.id);
  }
  return conflicts;
}

/** Returns the declared contradictions as pairs of ids, in both directions if both claims are present. */
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

/** Returns the key under which a subject has a single value: its scope, audience and normalized name. Undefined without a subject. */
export function subjectKey({ subject }: { subject?: unknown }, claim_scope: string): string | undefined {
  const name = typeof subject === 'string' ? normalize(subject) : '';
  return name === '' ? undefined : `${claim_scope} ${name}`;
}

/** Ignores only case and spacing: C, C++ and C# are different subjects. */
const normalize = (text: string) => text.normalize('NFKC').toLowerCase().replaceAll(/\s+/gu, ' ').trim();

/** Returns the pairs of claims that give the same subject different values, as text or as number. */
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

/** Normalizes a value for comparison, so that 1 equals "1.0". Undefined without a value. */
export function comparableValue(value: unknown): string | undefined {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  const text = typeof value === 'string' ? normalize(value) : '';
  if (text === '') return undefined;
  return Number.isFinite(Number(text)) ? String(Number(text)) : text;
}

/** Returns the pairs of texts that measure the same thing differently and of which at least one is a claim. */
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

/**
 * Returns the statements of all texts, in order. Of texts that are not claims, reads only those that contain a word of a claim's subject: no others
 * can conflict.
 */
function* collectStatements(claims: Claim[]): Steps<ClaimStatements[]> {
  const byClaim = new Map<Claim, Statement[]>();
  for (const claim of claims) {
    yield;
    if (claim.isClaim) byClaim.set(claim, statementsOf(claim));
  }
  if (byClaim.size === 0) return [];
  const subjectWords = new Set([...byClaim.values()].flatMap((statements) => statements.flatMap(({ subject }) => subject)));
  const stated: ClaimStatements[] = [];
  for (const claim of claims) {
    yield;
    const mentionsSubject = claim.lexemes.some((word) => subjectWords.has(word)) || claim.measure?.subject;
    const statements = byClaim.get(claim) ?? (mentionsSubject ? statementsOf(claim) : []);
    if (statements.length > 0) stated.push({ claim, statements, hasSubject: hasSubject(claim) });
  }
  return stated;
}

interface ClaimStatements {
  claim: Claim;
  statements: Statement[];
  /** True if the claim names its subject in its body. */
  hasSubject: boolean;
}

const hasSubject = ({ claim_scope, measure = {} }: Claim) => claim_scope !== undefined && subjectKey(measure, '') !== undefined;

/**
 * Returns true if both texts measure the same thing and agree on no number. If both claims name their subject, compares only their structured
 * statements.
 */
function measureDifferently(a: ClaimStatements, b: ClaimStatements): boolean {
  const onlyNamed = a.hasSubject && b.hasSubject;
  const comparedStatements = ({ statements }: ClaimStatements) =>
    onlyNamed ? statements.filter(({ claim_scope }) => claim_scope !== undefined) : statements;
  let differs = false;
  for (const one of comparedStatements(a))
    for (const other of comparedStatements(b)) {
      // for another project or audience
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

/** Returns true if most words of the shorter subject occur in the other, and their marks do not differ on both sides. */
function isSameSubject(a: Statement, b: Statement): boolean {
  if (without(a.marks, b.marks).length > 0 && without(b.marks, a.marks).length > 0) return false;
  const shared = a.subject.filter((word) => b.subject.includes(word)).length;
  const fewer = Math.min(a.subject.length, b.subject.length);
  // a common unit counts as a common word: "32K tokens of context", "the context takes 65K tokens"
  const units = mentionsUnit(a, b) || mentionsUnit(b, a) ? 1 : 0;
  if (shared === 0 || shared + units < Math.min(2, fewer) || shared < MIN_SHARED_SUBJECT * fewer) return false;
  return !isSubstituted(a.subject, b.subject);
}

/** Returns true if one statement mentions a unit in which the other measures. */
const mentionsUnit = (one: Statement, other: Statement): boolean =>
  other.measures.some(
    ({ unit }) => unit && (one.subject.includes(unit) || one.measures.some((measure) => measure.unit === unit)),
  );

const without = (words: string[], others: string[]) => words.filter((word) => !others.includes(word));

/** Returns true if the subjects differ in exactly one word, which makes them different subjects ("staging", "production"). */
function isSubstituted(a: string[], b: string[]): boolean {
  if (a.length !== b.length) return false;
  const other = a.flatMap((word, i) => (word === b[i] ? [] : [[word, b[i]!] as const]));
  // backup, back: forms of one word
  return other.length === 1 && other[0]![0].slice(0, 4) !== other[0]![1].slice(0, 4);
}
