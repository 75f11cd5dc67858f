import { type Named, readName } from './name.ts';
import type { Span } from './tokens.ts';
import { isPassword, isPlaceholder, isToken, type Setting } from './value.ts';

// Secrets known by what stands beside them: `password = …`, "my password is …", `"api_key": "…"`, user:password@host, Authorization.

const isNamePart = (character: string): boolean => /[\p{L}\d_$-]/u.test(character);
const MAX_SIDE = 60;
const SHORTEST_WORD = 2;

/** After a name: its closing quote, "for the server", and what says that a value follows. */
const leads =
  /\\{0,3}["'\x60]?\]?(?:\s+(?:for|to|of|on|at|in|für|pour|para)\s[^.:=\n]{1,60}?)?\s{0,20}(?:(?<sign>:\s{0,4}[A-Za-z]\w{0,30}\??\s{0,4}=(?!=)|:=|=>|={2,3}|=|->|：|:)|(?<=\s)(?<says>is now|is|was|ist|lautet|es|est|é|это)(?=[\s:])\s?:?)\s{0,20}/uy;
const opening = /(?:\[\s?)?(?<slashes>\\{0,3})(?<quote>["'`])/y;
const scheme = /(?:bearer|basic|token|apikey)\s{1,4}/iy;
const bareValue = /(?:(?![&;,]\s?[\w.-]{1,40}[=:])[^\s"'`<>]){1,1025}/y;

const at = (expression: RegExp, text: string, index: number): RegExpExecArray | null => {
  expression.lastIndex = index;
  return expression.exec(text);
};

/**
 * Values of names that promise a secret; `words`: where a word of such a name begins. Values already read are not read again, so that
 * the whole stays linear.
 */
export function namedValues(text: string, words: number[], found: Span[]): void {
  let done = 0;
  for (const at of words) {
    if (at < done) continue;
    const [start, end] = nameAround(text, at, at + SHORTEST_WORD);
    const named = nameOf(text, start, end);
    // a name may hold a word twice, and is read once
    done = end;
    if (!named) continue;
    const value = valueAfter(text, start, end, named);
    if (!value) continue;
    found.push({ from: value.from, to: value.to, kind: named.kind, exact: value.quoted });
    done = Math.max(end, value.to);
  }
}

function nameAround(text: string, from: number, to: number): [number, number] {
  let start = from;
  let end = to;
  while (start > 0 && from - start < MAX_SIDE && (isNamePart(text[start - 1]!) || (text[start - 1] === '.' && start > 1)))
    start -= 1;
  while (end < text.length && end - to < MAX_SIDE && isNamePart(text[end]!)) end += 1;
  return [start, end];
}

/** "key" says something only after "api". */
function nameOf(text: string, start: number, end: number): Named | undefined {
  const name = text.slice(start, end);
  const before = /(\w{1,20}) $/.exec(text.slice(Math.max(0, start - 21), start));
  return readName(name.replace(/^[-.]+/, '')) ?? (before ? readName(`${before[1]} ${name}`) : undefined);
}

interface Value {
  from: number;
  to: number;
  quoted: boolean;
}

function valueAfter(text: string, start: number, end: number, named: Named): Value | undefined {
  const tag = text[start - 1] === '<' && text[end] === '>';
  const lead = tag ? null : at(leads, text, end);
  let from = tag ? end + 1 : lead ? leads.lastIndex : afterSpace(text, start, end, named);
  if (from < 0) return undefined;
  if (at(scheme, text, from)) from = scheme.lastIndex;
  const sign = lead?.groups?.sign;
  const open = at(opening, text, from);
  if (open) return quotedValue(text, opening.lastIndex, open.groups as unknown as Opening, named);
  if (sign === '==' || sign === '===') return undefined;
  const setting: Setting = lead?.groups?.says || !(lead || tag) ? 'said' : isEnv(text, start, end, sign) || tag ? 'env' : 'bare';
  return plainValue(text, from, named, setting);
}

const isEnv = (text: string, start: number, end: number, sign: string | undefined): boolean =>
  sign === '=' && text[end] === '=' && /^[A-Z][A-Z\d_]*$/.test(text.slice(start, end));

/** `--password hunter2`, `Bearer abc`, `with password 'x'`: a space says enough there. */
function afterSpace(text: string, start: number, end: number, { form }: Named): number {
  const space = /\s{1,4}/y;
  if (!at(space, text, end)) return -1;
  const flag = text.startsWith('--', start);
  const bearer = /^bearer$/i.test(text.slice(start, end));
  return flag || bearer || form === 'password' ? space.lastIndex : -1;
}

interface Opening {
  slashes: string;
  quote: string;
}

const MAX_VALUE = 4096;

function quotedValue(text: string, from: number, { slashes, quote }: Opening, named: Named): Value | undefined {
  const close = slashes + quote;
  let to = text.indexOf(close, from);
  while (slashes === '' && to > from && text[to - 1] === '\\' && to - from < MAX_VALUE) to = text.indexOf(close, to + 1);
  if (to < 0 || to - from > MAX_VALUE) return undefined;
  const value = text.slice(from, to);
  if (value.includes('\n')) return undefined;
  return accepts(value, named, 'quoted') ? { from, to, quoted: true } : undefined;
}

function plainValue(text: string, from: number, named: Named, setting: Setting): Value | undefined {
  const match = at(bareValue, text, from);
  // more than a secret is long: as far as it was read
  if (!match || match[0].length > 1024) return undefined;
  const value = match[0].replace(/[.,;:)\]}\\]{1,8}$/, '');
  return accepts(value, named, setting) ? { from, to: from + value.length, quoted: false } : undefined;
}

export const accepts = (value: string, { form }: Named, setting: Setting): boolean =>
  form === 'password' ? isPassword(value, setting) : isToken(value, setting);

const userinfo = /[^\s:/@"'`<>\\]{0,100}:([^\s/"'`<>\\]{1,256})@(?=[\w[.%-])/y;

/** The password of scheme://user:password@host (RFC 3986, 3.2.1). */
export function urlPasswords(text: string, found: Span[]): void {
  for (let mark = text.indexOf('://'); mark >= 0; mark = text.indexOf('://', mark + 3)) {
    const match = at(userinfo, text, mark + 3);
    if (!match) continue;
    const to = userinfo.lastIndex - 1;
    const value = match[1]!;
    if (!isPlaceholder(value)) found.push({ from: to - value.length, to, kind: 'url-password', exact: true });
  }
}

const basic = /\bbasic\s{1,4}([A-Za-z0-9+/_-]{8,500}={0,2})/gi;
const commandLine = /(?:\s(?:-u|--user)[ =]{1,3}["']?[\w.@-]{1,64}:|\bsshpass\s{1,4}-p\s{0,2})["']?([^\s"']{4,200})/g;

/** RFC 7617, and `curl -u user:password`. */
export function basicCredentials(text: string, found: Span[]): void {
  for (const match of text.matchAll(basic)) {
    const decoded = Buffer.from(match[1]!, 'base64').toString('latin1');
    const to = match.index + match[0].length;
    if (/^[\x20-\x39\x3b-\x7e]{1,100}:[\x20-\x7e]{3,}$/.test(decoded))
      found.push({ from: to - match[1]!.length, to, kind: 'basic-auth', exact: true });
  }
  for (const match of text.matchAll(commandLine)) {
    const to = match.index + match[0].length;
    if (!isPlaceholder(match[1]!) && !match[1]!.startsWith('$'))
      found.push({ from: to - match[1]!.length, to, kind: 'basic-auth' });
  }
}
