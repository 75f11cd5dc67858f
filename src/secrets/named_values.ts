import { matchNameAt } from './languages.ts';
import { startReading, valueBeforeName, valuesAfterName } from './prose.ts';
import { looksRandom, looksRandomToken } from './randomness.ts';
import { classifyName, isCompanionField, isContainer, type SecretName } from './secret_names.ts';
import { separators } from './separators.ts';
import { isJumbled, isPlaceholder } from './shapes.ts';
import type { Span } from './tokens.ts';
import { isBasicLogin, isPassword, isToken, type ValueSetting } from './value.ts';

// Finds secrets by the name before them: `password = …`, "my password is …", `"api_key": "…"`, user:password@host, Authorization.

const isNamePart = (character: string): boolean => /[\p{L}\d_$-]/u.test(character);
const MAX_NAME_SIDE = 60;
const SHORTEST_WORD = 2;

/** Text that may precede the opening quote of a value. */
const BEFORE_QUOTE = [
  // YAML: `|` and a new line
  String.raw`[|>][-+]?\d?\s{0,4}\n\s{1,40}`,
  String.raw`\[\s?|<%=\s`,
  // N'…' of SQL, b'…' of Python, Some("…") of Rust, string(14) "…" of PHP
  String.raw`[NbruL](?=["'])|Some\(|string\(\d{1,4}\)\s`,
].join('|');
const QUOTES = String.raw`["'\x60“„«‘「『]|&quot;|&#3[49];|\[\[`;
/** Matches the opening quote of a value: plain, escaped, an HTML entity, or the `[[` of Lua. */
const opening = new RegExp(String.raw`(?:${BEFORE_QUOTE})?(?<slashes>\\{0,3})(?<quote>${QUOTES})(?<blank>(?<=[«„“])\s)?`, 'y');
const closing: Record<string, string> = { '“': '”', '„': '“', '«': '»', '‘': '’', '「': '」', '『': '』', '[[': ']]' };
const innerTag = /\s{0,20}<(?:value|string)>/iy;
const block = /[|>][-+]?\d?[ \t]{0,4}\r?\n[ \t]{1,40}/y;
const scheme = /(?:bearer|basic|token|apikey|api-key|bot|oauth|key|sso-key|splunk|ghost)\s{1,4}/iy;
/** Matches a value without quotes. It also ends before an ideograph, because no space separates those. */
const bareValue =
  /(?:(?![&;,]\s?[\w.-]{1,40}\s{0,2}[=:])[^\s"'`<>”»」』\u3001-\u30ff\u4e00-\u9fff\uac00-\ud7af\uff0c\uff1b]){1,1025}/y;

const matchAt = (expression: RegExp, text: string, index: number): RegExpExecArray | null => {
  expression.lastIndex = index;
  return expression.exec(text);
};

/** Returns the end of the match at `index`; `index` if the expression does not match there. */
const endOfMatch = (expression: RegExp, text: string, index: number): number =>
  matchAt(expression, text, index) ? expression.lastIndex : index;

/**
 * Finds the values of names that announce a secret. `anchors` are the positions of words in such names. A value is not read twice, so that the
 * time stays linear.
 */
export function namedValues(text: string, anchors: number[], found: Span[]): void {
  let done = 0;
  let mapEnd = 0;
  const progress = startReading();
  for (const anchor of anchors) {
    if (anchor < done) continue;
    const match = matchNameAt(text, anchor);
    const [start, end] = match ? [anchor, match.end] : nameAround(text, anchor, anchor + SHORTEST_WORD);
    const named = match ? match.named : nameOf(text, start, end);
    // a name with two anchors is read once
    done = end;
    if (!named) continue;
    if (start >= mapEnd && opensMap(text, end) && isContainer(text.slice(start, end)))
      mapEnd = mapValues(text, end, named, found);
    const value = valueAfter(text, start, end, named);
    if (value === TOO_LONG) done = Math.max(end, done) + SKIPPED_CHARACTERS;
    if (!value) {
      valuesAfterName(text, end, named, progress, found);
      valueBeforeName(text, [start, end], named, progress, found);
    }
    if (!value || value === TOO_LONG) continue;
    found.push({ from: value.from, to: value.to, kind: named.kind, exact: value.quoted });
    done = Math.max(end, value.to);
  }
}

const openingBrace = /[\\"']{0,4}\s{0,4}[:=]\s{0,10}\{/y;
const indentedBlock = /["']?:[ \t]{0,10}\r?\n(?=([ \t]{1,40})\S)/y;
const member = /(?:^|[{,\s])[\\"']{0,4}([\w.@-]{1,60})[\\"']{0,4}[ \t]{0,4}[:=][ \t]{0,4}(\\?["'])?([^\s"',{}\\]{4,256})/g;
const MAX_MAP = 4096;
const SECRET = 'kind: Secret';
const inSecret: SecretName = { kind: 'secret', form: 'token' };

/** Finds the values of a Kubernetes Secret, regardless of their names. The map may come before or after the line with the kind. */
export function kubernetesSecrets(text: string, found: Span[]): void {
  let done = 0;
  for (let kind = text.indexOf(SECRET); kind >= 0; kind = text.indexOf(SECRET, kind + 1)) {
    const part = text.slice(Math.max(done, kind - MAX_MAP), kind + MAX_MAP);
    const from = Math.max(done, kind - MAX_MAP);
    for (const match of part.matchAll(/^(?:data|stringData)(?=:)/gm)) {
      const end = from + match.index + match[0].length;
      if (end >= done) done = mapValues(text, end, inSecret, found);
    }
    done = Math.max(done, kind);
  }
}

const opensMap = (text: string, end: number): boolean =>
  matchAt(openingBrace, text, end) !== null || matchAt(indentedBlock, text, end) !== null;

/** Finds the values of `passwords: {alice: hunter22}`, and of the same map written with indentation. Returns the end of the map. */
function mapValues(text: string, end: number, named: SecretName, found: Span[]): number {
  const brace = matchAt(openingBrace, text, end);
  const indent = brace ? null : matchAt(indentedBlock, text, end);
  if (!brace && !indent) return end;
  const from = brace ? openingBrace.lastIndex : indentedBlock.lastIndex;
  const rest = text.slice(from, from + MAX_MAP);
  const to = brace ? rest.search(/\}|$/) : rest.search(new RegExp(`\\n(?![ \\t]{${indent![1]!.length}}|\\s*\\n)|$`));
  for (const match of rest.slice(0, to).matchAll(member)) {
    const value = match[3]!;
    if (isCompanionField(match[1]!) || classifyName(match[1]!) || !isSecretValue(value, named, 'quoted')) continue;
    const start = from + match.index + match[0].length - value.length;
    found.push({ from: start, to: start + value.length, kind: named.kind });
  }
  return from + to;
}

function nameAround(text: string, from: number, to: number): [number, number] {
  let start = from;
  let end = to;
  while (start > 0 && from - start < MAX_NAME_SIDE && (isNamePart(text[start - 1]!) || (text[start - 1] === '.' && start > 1)))
    start -= 1;
  while (end < text.length && end - to < MAX_NAME_SIDE && isNamePart(text[end]!)) end += 1;
  return [start, end];
}

/** Classifies a name, together with the preceding word if necessary: "key" announces a secret only after a word like "api". */
function nameOf(text: string, start: number, end: number): SecretName | undefined {
  const name = text.slice(start, end);
  const before = /([\p{L}\d_]{1,20}) $/u.exec(text.slice(Math.max(0, start - 21), start));
  return classifyName(name.replace(/^[-.]+/, '')) ?? (before ? classifyName(`${before[1]} ${name}`) : undefined);
}

interface Value {
  from: number;
  to: number;
  quoted: boolean;
}

/** The position at which a value may start, and what separates it from the name: a tag around the name, a sign, words, or only a space. */
interface Separator {
  from: number;
  by: 'tag' | 'sign' | 'words' | 'space';
  sign?: string | undefined;
  /** The verb or preposition before the value: "is", "to". */
  verb?: string | undefined;
}

function findSeparator(text: string, start: number, end: number, named: SecretName): Separator | undefined {
  if (text[start - 1] === '<' && text[end] === '>') return { from: endOfMatch(innerTag, text, end + 1), by: 'tag' };
  const match = matchAt(separators, text, end);
  if (match) return { from: separators.lastIndex, by: match.groups!.sign ? 'sign' : 'words', ...match.groups };
  const from = valueStartAfterSpace(text, start, end, named);
  return from < 0 ? undefined : { from, by: 'space' };
}

const isArgument = /\(\s{0,4}["']$/;

/** Returns true if this separator after this name does not introduce a value. */
function introducesNoValue({ by, sign, verb }: Separator, before: string, name: string, { weak, strict }: SecretName): boolean {
  // "could be pass to"
  if (weak && by === 'words') return true;
  // "the key to success"
  if (strict && verb === 'to') return true;
  // part of an ARN
  if (sign === ':') return /\d:$/.test(before.slice(-2));
  // define('DB_PASSWORD', '…') but not ['password', 'name']
  return sign === ',' && !(isArgument.test(before) && /[A-Z_.-]/.test(name));
}

function valueAfter(text: string, start: number, end: number, named: SecretName): Value | typeof TOO_LONG | undefined {
  const separator = findSeparator(text, start, end, named);
  const name = text.slice(start, end);
  if (!separator || introducesNoValue(separator, text.slice(Math.max(0, start - 6), start), name, named)) return undefined;
  const { by, sign } = separator;
  const from = endOfMatch(scheme, text, separator.from);
  const open = matchAt(opening, text, from);
  if (open) {
    const mayBeProse = sign === '|' || (sign === ',' && !/^[A-Z\d_]+$/.test(name));
    return quotedValue(text, opening.lastIndex, open.groups as unknown as Opening, named, mayBeProse ? 'prose' : 'quoted');
  }
  // a comparison
  if (sign === '==' || sign === '===') return undefined;
  const isProse = by === 'words' || by === 'space' || sign === '|';
  const setting: ValueSetting = isProse ? 'prose' : by === 'tag' || isEnv(text, start, end, sign) ? 'env' : 'bare';
  return plainValue(text, endOfMatch(block, text, from), named, setting);
}

const isEnv = (text: string, start: number, end: number, sign: string | undefined): boolean =>
  sign === '=' &&
  text[end] === '=' &&
  (/^(?:--[a-z].*|[A-Z][A-Z\d_]*)$/.test(text.slice(start, end)) || (start > 0 && /[;?&]/.test(text[start - 1]!)));

/**
 * Returns the start of a value that only a space separates from its name: `--password hunter2`, `-storepass x`, `Bearer abc`, `with password 'x'`,
 * `ENV API_KEY x`.
 */
function valueStartAfterSpace(text: string, start: number, end: number, { form, weak }: SecretName): number {
  const space = /[ \t]{1,30}|\s{1,4}/y;
  if (!matchAt(space, text, end)) return -1;
  // a reference to a variable
  if (text[start] === '$' || text[start - 1] === '{') return -1;
  const name = text.slice(start, end);
  const written = name.startsWith('-') || /^bearer$/i.test(name) || /\w_\w|[a-z][A-Z]/.test(name);
  return written || (form === 'password' && !weak) ? space.lastIndex : -1;
}

interface Opening {
  slashes: string;
  quote: string;
}

const MAX_VALUE = 4096;

function quotedValue(
  text: string,
  from: number,
  { slashes, quote }: Opening,
  named: SecretName,
  setting: ValueSetting,
): Value | undefined {
  const close = slashes + (closing[quote] ?? quote);
  let to = text.indexOf(close, from);
  while (slashes === '' && to > from && text[to - 1] === '\\' && to - from < MAX_VALUE) to = text.indexOf(close, to + 1);
  if (to < 0 || to - from > MAX_VALUE) return undefined;
  const value = text.slice(from, to).trimEnd();
  if (value.includes('\n')) return undefined;
  to = from + value.length;
  return isSecretValue(value, named, setting) ? { from, to, quoted: true } : undefined;
}

/** The value is longer than any secret. Names within its first SKIPPED_CHARACTERS are skipped, because each of them would scan it again. */
const TOO_LONG = 'too long';
const SKIPPED_CHARACTERS = 256;

function plainValue(text: string, from: number, named: SecretName, setting: ValueSetting): Value | typeof TOO_LONG | undefined {
  const match = matchAt(bareValue, text, from);
  if (!match) return undefined;
  if (match[0].length > 1024) return TOO_LONG;
  // [a link](https://…?token=…)
  const value = match[0].replace(/\)\].*$/, '').replace(/[.,;:)\]}\\]{1,8}$/, '');
  return isSecretValue(value, named, setting) ? { from, to: from + value.length, quoted: false } : undefined;
}

/** Matches 128, 96.5%, 12/12. */
const isCount = /^[\d.,/%]+$/;

export function isSecretValue(value: string, { form, weak, strict }: SecretName, setting: ValueSetting): boolean {
  if (form === 'login') return isBasicLogin(value);
  if (form === 'pin') return setting === 'quoted' && /^\d{3,8}$/.test(value);
  if (form === 'password')
    return (
      isPassword(value, setting) &&
      !(weak && isCount.test(value)) &&
      !(strict && !looksRandom(value) && !(setting === 'env' && isToken(value, setting)))
    );
  return isToken(value, setting) && !(strict && !(value.length >= 20 && isJumbled(value) && looksRandomToken(value)));
}

const userinfo = /([^\s:/@"'`<>\\]{0,100}):([^\s/"'`<>\\]{1,256})@(?=[\w[.%-])/y;
const localhost = /(?:localhost|127\.0\.0\.1|\[::1\])/y;

/** Finds the password in scheme://user:password@host (RFC 3986, 3.2.1). */
export function urlPasswords(text: string, found: Span[]): void {
  for (let mark = text.indexOf('://'); mark >= 0; mark = text.indexOf('://', mark + 3)) {
    const match = matchAt(userinfo, text, mark + 3);
    if (!match) continue;
    const to = userinfo.lastIndex - 1;
    const [, name, value] = match as unknown as [string, string, string];
    // guest:guest@localhost, a default of many programs
    if (isPlaceholder(value) || (name === value && /^[a-z]+$/.test(value) && matchAt(localhost, text, to + 1))) continue;
    found.push({ from: to - value.length, to, kind: 'url-password', exact: true });
  }
}

const basic = /\bbasic\s{1,4}([A-Za-z0-9+/_-]{8,500}={0,2})/gi;
const commandLine =
  /(?:\s(?:-[uU][ =]{0,3}|--(?:proxy-)?user[ =]{1,3})["']?[\w.@-]{1,64}:|\bsshpass\s{1,4}-p\s{0,2})["']?([^\s"']{4,200})/g;

/** Finds Basic credentials (RFC 7617) and `curl -u user:password`. */
export function basicCredentials(text: string, found: Span[]): void {
  for (const match of text.matchAll(basic)) {
    const to = match.index + match[0].length;
    if (isBasicLogin(match[1]!)) found.push({ from: to - match[1]!.length, to, kind: 'basic-auth', exact: true });
  }
  for (const match of text.matchAll(commandLine)) {
    const to = match.index + match[0].length;
    if (!isPlaceholder(match[1]!) && !/^(?:\$|\/\/|\d+$)/.test(match[1]!))
      found.push({ from: to - match[1]!.length, to, kind: 'basic-auth' });
  }
}
