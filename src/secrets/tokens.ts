import type { Joints } from './joined_text.ts';
import { entropyOf, isJumbled } from './shapes.ts';
import { anyToken, type TokenRule, tokenAt, tokenRules } from './token_rules.ts';
import { isNotExample } from './value.ts';

// Finds secrets by their form. All of them contain a long run of characters without a space, so only such runs are examined.

export interface Span {
  from: number;
  to: number;
  kind: string;
  /** True if the value has a fixed length or an explicit end, so that it can cross line breaks as a whole. */
  exact?: boolean;
}

const inRun = new Uint8Array(128);
for (const character of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+/.=~:%$')
  inRun[character.charCodeAt(0)] = 1;
/** Minimum length of a token. */
const MIN_TOKEN = 16;

/**
 * Calls `visit` for each run of at least MIN_TOKEN characters. Probes only every 16th character, which takes 2 ns per character of text without runs.
 */
export function eachRun(text: string, visit: (from: number, to: number) => void): void {
  for (let i = MIN_TOKEN - 1; i < text.length; i += MIN_TOKEN) {
    if (inRun[text.charCodeAt(i)] !== 1) continue;
    let from = i;
    let to = i + 1;
    while (from > 0 && inRun[text.charCodeAt(from - 1)] === 1) from -= 1;
    while (to < text.length && inRun[text.charCodeAt(to)] === 1) to += 1;
    if (to - from >= MIN_TOKEN) visit(from, to);
    // continue after this run
    while (i + MIN_TOKEN < to) i += MIN_TOKEN;
  }
}

const [BREAK, UNDERSCORE] = [10, 95];
const isUpper = (code: number): boolean => code >= 65 && code <= 90;
const isBlank = new Uint8Array(128);
for (const character of ' \t>|#*\r') isBlank[character.charCodeAt(0)] = 1;

/** Returns true if a run that is long enough for a token, and has a digit or another sign of a token, continues in the next line. */
export function crossesLines(text: string): boolean {
  let run = 0;
  let hasTokenSign = false;
  let crossed = false;
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (inRun[code] === 1) {
      run += 1;
      if ((code >= 48 && code <= 57) || code === UNDERSCORE || (isUpper(code) && run > 1 && isUpper(text.charCodeAt(i - 1))))
        hasTokenSign = true;
      if (crossed && hasTokenSign && run >= MIN_TOKEN) return true;
      continue;
    }
    const from = i;
    let broken = false;
    while (i < text.length && (isBlank[text.charCodeAt(i)] === 1 || text.charCodeAt(i) === BREAK)) {
      if (text.charCodeAt(i) === BREAK) broken = true;
      i += 1;
    }
    if (broken) crossed = run > 0;
    if (!broken || run === 0) [run, hasTokenSign, crossed] = [0, false, false];
    if (i > from) i -= 1;
  }
  return false;
}

const isAlnum = (code: number): boolean =>
  (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122);

/** Finds the tokens of the token rules, and JSON Web Tokens, in a run. */
export function tokensInRun(run: string, offset: number, joints: Joints, found: Span[]): void {
  anyToken.lastIndex = 0;
  for (let match = anyToken.exec(run); match; match = anyToken.exec(run)) {
    const span = toSpan(run, match, offset, joints);
    if (span) found.push(span);
    else anyToken.lastIndex = match.index + 1;
  }
  let last = 0;
  for (const joint of joints.between(offset, offset + run.length)) {
    if (joint < last) continue;
    tokenAt.lastIndex = joint - offset;
    const match = tokenAt.exec(run);
    const span = match && toSpan(run, match, offset, joints);
    if (!span) continue;
    found.push(span);
    last = span.to;
  }
  webTokens(run, offset, found);
}

const requiredCharacters = /\d|^hf_|^A[KS]IA/;
const trailingCharacters = /[\w-]{1,1000}/y;

function toSpan(run: string, match: RegExpExecArray, offset: number, joints: Joints): Span | undefined {
  let which = 1;
  while (match[which] === undefined) which += 1;
  const rule: TokenRule = tokenRules[which - 1]!;
  let end = match.index + match[0].length;
  const glued = joints.has(offset + end);
  if (rule.alone && !glued && isAlnum(run.charCodeAt(end))) return undefined;
  // identifiers in code have no digit and are not random
  if (!isNotExample(match[0]) || !(requiredCharacters.test(match[0]) || isJumbled(match[0]))) return undefined;
  // a token that is longer than documented is matched as a whole
  trailingCharacters.lastIndex = end;
  if (!glued && trailingCharacters.test(run)) end = trailingCharacters.lastIndex;
  return { from: offset + match.index, to: offset + end, kind: rule.kind, exact: rule.exact === true };
}

const markedToken =
  /(?<![\w+/-])[a-z][a-z\d]{1,11}(?:[_-](?:live|test|prod|dev|sandbox|pat|api|apikey|key|secret|token|sk|at|rt|uat|sat|sa|oauth|v\d)){1,2}[_-][\w-]{20,250}/g;
const unmarkedToken = /(?<![\w+/-])[a-z][a-z\d]{1,7}[_-][A-Za-z\d]{36,250}(?![\w-])/g;
/** Matches keys that issuers publish, and hashes that name their algorithm. */
const isPublic = /^(?:pk|pub|public|publishable|cs|phc|anon|sha\d*|nonce|etag)[_-]/;

/** Finds tokens of unknown issuers, which have the usual form: a short prefix, an optional word for the kind, and random characters. */
export function unknownIssuers(run: string, offset: number, found: Span[]): void {
  for (const pattern of [markedToken, unmarkedToken])
    for (const match of run.matchAll(pattern)) {
      const value = match[0].slice(match[0].search(/[_-]/));
      if (isPublic.test(match[0]) || !/\d/.test(value) || !/[a-z]/.test(value) || !/[A-Z]/.test(value) || !isJumbled(value))
        continue;
      if (isNotExample(match[0]))
        found.push({ from: offset + match.index, to: offset + match.index + match[0].length, kind: 'token' });
    }
}

const MAX_HEADER = 4_000;

/** Finds JSON Web Tokens: three parts (RFC 7519) or five (RFC 7516), of which the first is a JSON object that names an algorithm. */
function webTokens(run: string, offset: number, found: Span[]): void {
  let dot = -1;
  for (let at = run.indexOf('eyJ'); at >= 0; at = run.indexOf('eyJ', at + 3)) {
    if (dot < at) dot = run.indexOf('.', at);
    if (dot < 0) return;
    if (dot - at > MAX_HEADER || dot - at < 12 || isAlnum(run.charCodeAt(at - 1))) continue;
    if (!/"(?:alg|enc|typ)"/.test(Buffer.from(run.slice(at, dot), 'base64url').toString('latin1'))) continue;
    // the encrypted key of a JWE may be empty
    const rest = /[\w-]*(?:\.[\w-]{0,8192}){0,4}/y;
    rest.lastIndex = dot + 1;
    const match = rest.exec(run);
    if (!match || match[0].length < 8) continue;
    const to = rest.lastIndex;
    found.push({ from: offset + at, to: offset + to, kind: 'jwt' });
    at = to;
    dot = -1;
  }
}

/** Finds the secrets of AWS access keys: 40 random characters near the key. */
export function awsSecretsBeside(text: string, runs: [number, number][], found: Span[]): void {
  const keys = found.filter(({ kind }) => kind === 'aws-access-key');
  if (keys.length === 0) return;
  const near = keys.slice(0, 50);
  for (const [from, to] of runs)
    for (const match of text.slice(from, to).matchAll(/(?<![A-Za-z0-9/+])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])/g)) {
      const at = from + match.index;
      const isNear = near.some((key) => Math.abs(key.from - at) < 400);
      if (
        isNear &&
        /[a-z]/.test(match[0]) &&
        /[A-Z]/.test(match[0]) &&
        /\d/.test(match[0]) &&
        isNotExample(match[0]) &&
        entropyOf(match[0]) > 4
      )
        found.push({ from: at, to: at + 40, kind: 'aws-secret-key', exact: true });
    }
}

const BEGIN = /-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----/g;

/** Finds private keys in PEM (RFC 7468), from BEGIN to END, or to the end of the body if END is missing. The line breaks may be escaped as `\n`. */
export function privateKeys(text: string, found: Span[]): void {
  BEGIN.lastIndex = 0;
  let end = -1;
  for (let begin = BEGIN.exec(text); begin; begin = BEGIN.exec(text)) {
    const from = begin.index;
    const body = from + begin[0].length;
    if (end < body && end !== Number.POSITIVE_INFINITY) {
      const close = /-----END (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----/g;
      close.lastIndex = body;
      end = close.exec(text) ? close.lastIndex : Number.POSITIVE_INFINITY;
    }
    const cut = /(?:(?:\s|\\[nr]|[",'])*[A-Za-z0-9+/=]{16,})*/y;
    cut.lastIndex = body;
    cut.test(text);
    const to = end === Number.POSITIVE_INFINITY ? cut.lastIndex : end;
    // the line alone, without a key
    if (to - body < 40) continue;
    // a template without a key
    if (!/[A-Za-z0-9+/=_-]{30}/.test(text.slice(body, Math.min(to, body + 2_000)))) continue;
    const trailing = /\s*$/.exec(text.slice(Math.max(body, to - 100), to))![0].length;
    found.push({ from, to: end === to ? to : to - trailing, kind: 'private-key', exact: end === to });
    BEGIN.lastIndex = to;
  }
}
