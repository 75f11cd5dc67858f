import { type Anchors, findAnchors, registerKeywords } from './anchors.ts';
import { commandRules } from './command_rules.ts';
import { formatRules } from './format_rules.ts';
import { type Joints, joinAcross, jointsOf, toSourceSpan, trimAtLineBreak } from './joined_text.ts';
import { applyKeywordRule } from './keyword_rule.ts';
import { basicCredentials, namedValues, urlPasswords } from './named_values.ts';
import { pairRules } from './pair_rules.ts';
import { type Classes, personalData } from './personal.ts';
import { tableSecrets } from './tables.ts';
import { awsSecretsBeside, crossesLines, eachRun, privateKeys, type Span, tokensInRun, unknownIssuers } from './tokens.ts';

// Finds all secrets in a text, in order. A cheap prefilter comes first: nearly every text has neither a long run of characters nor a keyword and
// needs no further work. The others are scanned as they are, and again with their lines joined.

export type { Span } from './tokens.ts';

const none: Span[] = [];
const noJoints: Joints = jointsOf([]);
const MAX_DEPTH = 2;

export function findSecrets(text: string, classes: Classes, depth = 0): Span[] {
  if (text.length < 4) return none;
  const spans: Span[] = [];
  const hinted = scan(text, noJoints, depth, spans);
  if (classes.personal_data || classes.contacts) personalData(text, classes, spans);
  if (mayBeBroken(text, hinted)) spans.push(...acrossLines(text, depth));
  if (invisible.test(text)) spans.push(...withoutInvisible(text, depth));
  return spans.length === 0 ? none : merge(spans);
}

/** Scans a text. Returns true if it may also contain secrets that are not tokens and that may be broken over lines. */
function scan(text: string, joints: Joints, depth: number, spans: Span[]): boolean {
  const anchors = findAnchors(text);
  const runs: [number, number][] = [];
  eachRun(text, (from, to) => void runs.push([from, to]));
  let next = 0;
  for (const [from, to] of runs) {
    while (next < anchors.tokens.length && anchors.tokens[next]! < from) next += 1;
    const anchored = next < anchors.tokens.length && anchors.tokens[next]! < to;
    if (!anchored && to - from < MIN_ENCODED) continue;
    const run = text.slice(from, to);
    if (!mayHoldToken.test(run)) continue;
    if (anchored) tokensInRun(run, from, joints, spans);
    if (to - from < MIN_ENCODED) continue;
    // in joined text, the preceding line could be mistaken for a prefix
    if (joints === noJoints) unknownIssuers(run, from, spans);
    if (depth < MAX_DEPTH) encodedSecrets(run, from, depth, spans);
  }
  if (spans.length > 0) awsSecretsBeside(text, runs, spans);
  const [begins, urls] = [text.includes('-----BEGIN'), text.includes('://')];
  if (begins) privateKeys(text, spans);
  if (urls) urlPasswords(text, spans);
  if (anchors.names.length > 0) namedValues(text, anchors.names, spans);
  if (anchors.login) basicCredentials(text, spans);
  if (anchors.names.length > 0) tableSecrets(text, anchors.names, spans);
  const breakable = applyKeywordRules(text, anchors.keywords, spans);
  return breakable || begins || urls || anchors.names.length > 0 || anchors.login;
}

const keywordRules = [...formatRules, ...commandRules, ...pairRules];
keywordRules.forEach(({ keywords }, i) => registerKeywords(keywords, i));

/** Applies the rules whose keywords occur in the text. Returns true if one of them is a rule whose values may be broken over lines. */
function applyKeywordRules(text: string, keywords: Anchors['keywords'], found: Span[]): boolean {
  if (keywords.length === 0) return false;
  const near = new Map<number, number[]>();
  for (const { at, rule } of keywords) {
    const others = near.get(rule);
    if (others) others.push(at);
    else near.set(rule, [at]);
  }
  for (const [i, at] of near) applyKeywordRule(text, keywordRules[i]!, at, i < formatRules.length, found);
  return [...near.keys()].some((i) => i < formatRules.length);
}

const MIN_ENCODED = 24;
/** Matches what every token contains. Identifiers in code have neither a digit nor capitals so close to each other. */
const mayHoldToken = /\d|hf_|A[KS]IA|[a-z][A-Z][a-z]?[A-Z]/;
const encoded = /[A-Za-z0-9+/_-]{24,}={0,2}/g;
const MAX_ENCODED = 1024 * 1024;

/** Finds Base64 of a text that contains a secret; the span covers all of it. Images are recognized, and skipped, by their first bytes. */
function encodedSecrets(run: string, offset: number, depth: number, found: Span[]): void {
  if (run.length < MIN_ENCODED) return;
  for (const match of run.matchAll(encoded)) {
    if (match[0].length > MAX_ENCODED || !isText(Buffer.from(match[0].slice(0, 24), 'base64'))) continue;
    const bytes = Buffer.from(match[0], 'base64');
    if (!isText(bytes)) continue;
    const [inner] = findSecrets(bytes.toString(), { personal_data: false, contacts: false }, depth + 1);
    if (inner) found.push({ from: offset + match.index, to: offset + match.index + match[0].length, kind: inner.kind });
  }
}

/** Returns true if the first kilobyte is printable ASCII, line breaks and tabs. */
function isText(bytes: Buffer): boolean {
  const end = Math.min(bytes.length, 1024);
  for (let i = 0; i < end; i += 1) {
    const byte = bytes[i]!;
    if ((byte < 32 && byte !== 10 && byte !== 13 && byte !== 9) || byte > 126) return false;
  }
  return end > 0;
}

// Explicit continuations: `"abc" + "def"`, `'abc' \` and a new line, a backslash at the end of the line. A plain line break is ambiguous.
const explicitBreak = String.raw`\\?["'\x60]\s{0,20}(?:\+|\.|&|\\)?\s{0,20}\\?["'\x60](?=[\w+/=.-])|\\\r?\n[ \t]{0,40}`;
const lineBreak = String.raw`[ \t]{0,40}\r?\n[ \t>|#*]{0,40}`;
const continued = /["'`]\s{0,20}[+.&\\]?\s{0,20}\\?["'`][\w+/=.-]|\\\r?\n/;
const hasQuote = (text: string): boolean => text.includes('"') || text.includes("'") || text.includes('`') || text.includes('\\');

/** Returns true if a secret may be broken over lines, which is rare even in texts of several lines. */
const mayBeBroken = (text: string, hinted: boolean): boolean =>
  (text.includes('\n') && (hinted || crossesLines(text))) || (hasQuote(text) && continued.test(text));

function acrossLines(text: string, depth: number): Span[] {
  const joined = joinAcross(text, new RegExp(`(${explicitBreak})|${lineBreak}`, 'g'));
  if (!joined) return none;
  const spans: Span[] = [];
  scan(joined.text, jointsOf(joined.positions), depth, spans);
  return spans.flatMap((span) => trimAtLineBreak(span, joined) ?? []).map((span) => toSourceSpan(span, joined));
}

/** Matches the colour codes of a terminal and zero-width characters. */
const invisible = /\p{Cc}\[[\d;]{0,20}[A-Za-z]|[\u200b-\u200d\u2060\ufeff]/u;

function withoutInvisible(text: string, depth: number): Span[] {
  const joined = joinAcross(text, new RegExp(invisible, 'gu'));
  if (!joined) return none;
  const spans: Span[] = [];
  scan(joined.text, noJoints, depth, spans);
  return spans.map((span) => toSourceSpan(span, joined));
}

/** Sorts spans and merges overlapping ones. The merged span has the kind of the one that starts first, or of the longer one. */
function merge(spans: Span[]): Span[] {
  const merged: Span[] = [];
  for (const { from, to, kind } of spans.sort((a, b) => a.from - b.from || b.to - a.to)) {
    const last = merged.at(-1);
    if (last && from < last.to) last.to = Math.max(last.to, to);
    else if (from < to) merged.push({ from, to, kind });
  }
  return merged;
}
