import { looksRandom, looksRandomToken } from './randomness.ts';
import { isMetadataWord, type SecretName } from './secret_names.ts';
import type { Span } from './tokens.ts';
import { isPassword } from './value.ts';

// Finds secrets in sentences: "I changed the password on db1 to …", "use … as the password". A list of the verbs of all languages could never be
// complete, so the words in the same sentence as the name are judged by their form.

const MAX_DISTANCE = 100;
const sentenceEnd = /[\n{}[\]<]|["']\s?,|,\s?["']|[;.](?=\s|$)|[!?](?=\s)/;
const candidate = /(?<![^\s"'`“„«‘(:=/*])[^\s"'`“”„«»‘’(),;<>|]{8,128}/g;
/** Matches a word before a value that makes it an identifier and not a secret. */
const identifierBefore =
  /(?:\b(?:ids?|hash|hashed|sha-?\d*|md5|digest|commit|request|trace|version|build|fingerprint|checksum|cursor|file|path|session|key id|kid|etag|algorithm|named|called|in|at)\b|[#@&$/])["'`\s:=]{0,4}$/i;
/** Matches an object member, a call or a setting, whose value is judged elsewhere. */
const judgedElsewhere = /^["'`\])]{0,3}(?:\s{0,3}[:=|]|,\s{0,3}["'`]|[.([]\S)/;

const trimmed = (value: string): string => value.replace(/(?:[.,:;)_?]|\*\*){1,8}$/, '').replace(/!{2,}$/, '');

const looksLikeSecret = (value: string, { form, kind, strict }: SecretName): boolean => {
  if (strict) return form === 'password' ? looksRandom(value) : /^[\w+/=-]{20,}$/.test(value) && looksRandomToken(value);
  return form === 'password' || kind === 'secret' ? looksRandom(value) : looksRandomToken(value);
};

/** The positions up to which sentences were read, so that a sentence is not read again for each name in it. */
export interface ReadProgress {
  password: { to: number; ended: boolean };
  token: { to: number; ended: boolean };
  valueAndPreposition: number;
}

export const startReading = (): ReadProgress => ({
  password: { to: 0, ended: true },
  token: { to: 0, ended: true },
  valueAndPreposition: 0,
});

/** Finds values in the rest of the sentence after a name. */
export function valuesAfterName(text: string, end: number, named: SecretName, progress: ReadProgress, found: Span[]): void {
  const reached = named.form === 'password' ? progress.password : progress.token;
  if ((end < reached.to && reached.ended) || judgedElsewhere.test(text.slice(end, end + 12))) return;
  const from = Math.max(end, reached.to);
  const rest = text.slice(from, end + MAX_DISTANCE);
  const sentence = rest.slice(0, (sentenceEnd.exec(rest) ?? { index: rest.length }).index);
  reached.to = from + sentence.length;
  reached.ended = sentence.length < rest.length;
  valueAtLineEnd(text, end, named, found);
  for (const match of sentence.matchAll(candidate)) {
    const at = from + match.index;
    const value = trimmed(match[0]);
    // cut off at MAX_DISTANCE
    if (!looksLikeSecret(value, named) || at + match[0].length === end + MAX_DISTANCE) continue;
    if (!identifierBefore.test(text.slice(Math.max(end, at - 30), at)))
      found.push({ from: at, to: at + value.length, kind: named.kind });
  }
}

const before =
  /(?<![^\s"'`“„«(:])(["'`“„«]?)([^\s"'`“”„«»]{6,128})["'`”“»]?\s(as|is|was|=|for|für|als|ist|como|es|comme|est|come|jako)\s(?:[\p{L}'-]{1,12}\s){0,3}$/iu;

const lineEndValue =
  /^((?:[ \t][\p{L}\d'.-]{1,20}){1,4})(?::|\s(?:is|es|ist|est|é|è|lautet|är|er|это))[ \t]{1,3}["'`]?([^\s"'`]{6,64})["'`]?[ \t]{0,4}(?:\n|$)/u;

/** Finds a value at the end of the line: "Password of the NAS: …", "la contraseña nueva es …". */
function valueAtLineEnd(text: string, end: number, { form, kind, strict }: SecretName, found: Span[]): void {
  const match = form === 'password' && !strict ? lineEndValue.exec(text.slice(end, end + MAX_DISTANCE)) : null;
  if (!match || match[1]!.split(' ').some(isMetadataWord)) return;
  const value = trimmed(match[2]!);
  if (!isPassword(value, 'prose')) return;
  const at = end + match[0].lastIndexOf(match[2]!);
  found.push({ from: at, to: at + value.length, kind });
}

/** Matches what a password has and ordinary words do not. */
const hasDisorder = /\d|[a-z][A-Z]/;

/** Finds a value before its name: "use … as the password". */
export function valueBeforeName(
  text: string,
  [start, end]: [number, number],
  named: SecretName,
  progress: ReadProgress,
  found: Span[],
): void {
  const preceding = text.slice(Math.max(0, start - MAX_DISTANCE, progress.valueAndPreposition), start);
  progress.valueAndPreposition = start;
  // the password manager, the password hash
  if (isMetadataWord(/^\s(\p{L}{1,20})/u.exec(text.slice(end, end + 21))?.[1] ?? '')) return;
  const line = preceding.slice(preceding.lastIndexOf('\n') + 1);
  const match = hasDisorder.test(line) && before.exec(line);
  if (!match) return;
  const value = trimmed(match[2]!);
  const isProsePassword = named.form === 'password' && !named.strict && isPassword(value, 'prose');
  if (!looksLikeSecret(value, named) && !(isProsePassword && (match[1] !== '' || match[3] === 'as'))) return;
  const at = start - line.length + match.index + match[1]!.length;
  found.push({ from: at, to: at + value.length, kind: named.kind });
}
