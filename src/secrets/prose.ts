import { isChance, isChanceToken } from './chance.ts';
import { isAbout, type Named } from './name.ts';
import type { Span } from './tokens.ts';
import { isPassword } from './value.ts';

// Secrets in sentences: "I changed the password on db1 to …", "use … as the password". No list of verbs in all languages ends, so what
// stands in the sentence of such a name is judged by its own looks.

const REACH = 100;
const sentenceEnd = /[\n{}[\]<]|["']\s?,|,\s?["']|[;.](?=\s|$)|[!?](?=\s)/;
const candidate = /(?<![^\s"'`“„«‘(:=/*])[^\s"'`“”„«»‘’(),;<>|]{8,128}/g;
/** What a value that follows is, when it is no secret. */
const identified =
  /(?:\b(?:ids?|hash|hashed|sha-?\d*|md5|digest|commit|request|trace|version|build|fingerprint|checksum|cursor|file|path|session|key id|kid|etag|algorithm|named|called|in|at)\b|[#@&$/])["'`\s:=]{0,4}$/i;
/** A member of an object, a call, a setting whose value was judged already. */
const settled = /^["'`\])]{0,3}(?:\s{0,3}[:=|]|,\s{0,3}["'`]|[.([]\S)/;

const trimmed = (value: string): string => value.replace(/(?:[.,:;)_?]|\*\*){1,8}$/, '').replace(/!{2,}$/, '');

const looksLike = (value: string, { form, kind, strict }: Named): boolean => {
  if (strict) return form === 'password' ? isChance(value) : /^[\w+/=-]{20,}$/.test(value) && isChanceToken(value);
  return form === 'password' || kind === 'secret' ? isChance(value) : isChanceToken(value);
};

/** How far sentences were read, so that none is read again for each name in it. */
export interface Read {
  password: { to: number; ended: boolean };
  token: { to: number; ended: boolean };
  before: number;
}

export const unread = (): Read => ({ password: { to: 0, ended: true }, token: { to: 0, ended: true }, before: 0 });

/** In the rest of the sentence behind the name. */
export function valuesNear(text: string, end: number, named: Named, read: Read, found: Span[]): void {
  const done = named.form === 'password' ? read.password : read.token;
  if ((end < done.to && done.ended) || settled.test(text.slice(end, end + 12))) return;
  const from = Math.max(end, done.to);
  const rest = text.slice(from, end + REACH);
  const sentence = rest.slice(0, (sentenceEnd.exec(rest) ?? { index: rest.length }).index);
  done.to = from + sentence.length;
  done.ended = sentence.length < rest.length;
  told(text, end, named, found);
  for (const match of sentence.matchAll(candidate)) {
    const at = from + match.index;
    const value = trimmed(match[0]);
    // cut off by the reach
    if (!looksLike(value, named) || at + match[0].length === end + REACH) continue;
    if (!identified.test(text.slice(Math.max(end, at - 30), at)))
      found.push({ from: at, to: at + value.length, kind: named.kind });
  }
}

const before =
  /(?<![^\s"'`“„«(:])(["'`“„«]?)([^\s"'`“”„«»]{6,128})["'`”“»]?\s(as|is|was|=|for|für|als|ist|como|es|comme|est|come|jako)\s(?:[\p{L}'-]{1,12}\s){0,3}$/iu;

const tellingEnd =
  /^((?:[ \t][\p{L}\d'.-]{1,20}){1,4})(?::|\s(?:is|es|ist|est|é|è|lautet|är|er|это))[ \t]{1,3}["'`]?([^\s"'`]{6,64})["'`]?[ \t]{0,4}(?:\n|$)/u;

/** "Password of the NAS: …", "la contraseña nueva es …", at the end of its line. */
function told(text: string, end: number, { form, kind, strict }: Named, found: Span[]): void {
  const match = form === 'password' && !strict ? tellingEnd.exec(text.slice(end, end + REACH)) : null;
  if (!match || match[1]!.split(' ').some(isAbout)) return;
  const value = trimmed(match[2]!);
  if (!isPassword(value, 'said')) return;
  const at = end + match[0].lastIndexOf(match[2]!);
  found.push({ from: at, to: at + value.length, kind });
}

/** What a password has that no word has. */
const disordered = /\d|[a-z][A-Z]/;

/** "use … as the password". */
export function valueBefore(text: string, [start, end]: [number, number], named: Named, read: Read, found: Span[]): void {
  const said = text.slice(Math.max(0, start - REACH, read.before), start);
  read.before = start;
  // the password manager, the password hash
  if (isAbout(/^\s(\p{L}{1,20})/u.exec(text.slice(end, end + 21))?.[1] ?? '')) return;
  const line = said.slice(said.lastIndexOf('\n') + 1);
  const match = disordered.test(line) && before.exec(line);
  if (!match) return;
  const value = trimmed(match[2]!);
  const isSaid = named.form === 'password' && !named.strict && isPassword(value, 'said');
  if (!looksLike(value, named) && !(isSaid && (match[1] !== '' || match[3] === 'as'))) return;
  const at = start - line.length + match.index + match[1]!.length;
  found.push({ from: at, to: at + value.length, kind: named.kind });
}
