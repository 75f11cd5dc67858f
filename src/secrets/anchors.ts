import { anchors as more } from './issuers.ts';
import { beginnings, nameThere, short } from './languages.ts';

// Where to look at all. Each token holds three characters that are seldom elsewhere, and so does each name of a secret: one pass over a
// text finds them by a table, 2 ns a character, and prose that has none of them is done.

const tokens =
  `A3T AKI ASI ABI ACC AIz GOC ya2 ho_ hp_ hu_ hs_ hr_ b_p glp gld glr glc glf gli gla gls glo GR1 xox xap ks. sk_ rk_ whs SG.
  ey- -us pm_ pi- sk- hf_ rg_ plx r8_ _v1 oks shp EAA sq0 dap dp. hvs hvb hvr sv1 n_a ntn et_ ATA MAK snt NRA AGE mk. mr. mi. mp. eyJ`.split(
    /\s+/,
  );
// SK and 32 hexadecimal digits, 123456789:A…, a1b8Q~…
const counted = [...'0123456789'].flatMap((digit) => [`${digit}Q~`, `${digit}:A`]);
const hexadecimal = [...'0123456789abcdef'];
const lettered = hexadecimal.flatMap((digit) => [`SK${digit}`, `AC${digit}`]);
const names =
  'pas pwd psw pw= pw: _pw dpw tpw psk sec tok key auth cred bear kennwort contra senha mot mdp wachtwoord hasło heslo lösen adgang salas parola парол mnemonic phrase şif jelsz'
    .split(' ')
    .map((word) => word.slice(0, 3))
    .concat('pw ');
const name =
  /pass|pwd|pswd|[_a-z]?pw[=:\s]|_pw|psk|secret|token|key|auth|credential|bearer|kennwort|contrase[ñn]a|senha|mot de passe|парол|phrase|mnemonic|mdp|wachtwoord|hasło|heslo|lösenord|adgangskode|salasana|parola|şifre|jelsz[óo]/iy;
const logins = ['bas', ' -u', '\n-u', '\t-u', '--u', 'y-u', 'ssh'];

const [TOKEN, NAME, LOGIN, WORD] = [1, 2, 4, 8];
const table = new Uint8Array(65_536);
const placeOf = (a: number, b: number, c: number): number => ((a << 10) ^ (b << 5) ^ c) & 0xffff;

function enter(three: string, sort: number): void {
  table[placeOf(three.charCodeAt(0), three.charCodeAt(1), three.charCodeAt(2))]! |= sort;
}

/** In all its ways of writing. */
function enterAnyCase(word: string, sort: number): void {
  const ways = [...word].map((character) => [character.toLowerCase(), character.toUpperCase()]);
  for (let i = 0; i < 8; i += 1) enter(ways.map((way, at) => way[(i >> at) & 1]!).join(''), sort);
}

for (const three of [...tokens, ...more, ...counted, ...lettered]) if (three.length === 3) enter(three, TOKEN);
for (const word of [...names, ...beginnings]) enterAnyCase(word.slice(0, 3), NAME);
for (const word of logins) enterAnyCase(word, LOGIN);

interface Word {
  word: string;
  place: number;
}

const wordsBy = new Map<string, Word[]>();

/** Words of places (src/secrets/place.ts), by their last three characters; `place`: what the place is known by. */
export function anchorWords(words: string[], place: number): void {
  for (const word of words) {
    const three = word.slice(-3);
    enter(three, WORD);
    wordsBy.set(three, [...(wordsBy.get(three) ?? []), { word, place }]);
  }
}

export interface Anchors {
  /** Where a token may be, in order. */
  tokens: number[];
  /** Beginnings of words that a name of a secret has, in order. */
  names: number[];
  /** Basic credentials, `-u user:password`. */
  login: boolean;
  /** Words of places, in order: where the last three characters of one are, and what its place is known by. */
  words: { at: number; place: number }[];
}

const DOT = 46;

export function anchorsOf(text: string): Anchors {
  const found: Anchors = { tokens: [], names: [], login: false, words: [] };
  let a = text.charCodeAt(0);
  let b = text.charCodeAt(1);
  for (let i = 2; i < text.length; i += 1) {
    const c = text.charCodeAt(i);
    const sorts = table[((a << 10) ^ (b << 5) ^ c) & 0xffff]!;
    if (sorts !== 0) note(text, i - 2, sorts, found);
    // the six characters between the dots of a token of Discord
    if (c === DOT && i > 6 && text.charCodeAt(i - 7) === DOT) found.tokens.push(i);
    a = b;
    b = c;
  }
  if (ofTwo.some((character) => text.includes(character))) shortNames(text, found);
  return found;
}

function note(text: string, at: number, sorts: number, found: Anchors): void {
  if (sorts & TOKEN) found.tokens.push(at);
  if (sorts & LOGIN) found.login = true;
  if (sorts & WORD) noteWords(text, at, found);
  if ((sorts & NAME) === 0) return;
  name.lastIndex = at;
  if (name.test(text) || nameThere(text, at)) found.names.push(at);
}

function noteWords(text: string, at: number, found: Anchors): void {
  for (const { word, place } of wordsBy.get(text.slice(at, at + 3)) ?? [])
    if (text.startsWith(word, at + 3 - word.length)) found.words.push({ at, place });
}

const ofTwo = [...'密口令暗암비'];

/** Words of two characters. */
function shortNames(text: string, found: Anchors): void {
  for (const match of text.matchAll(short)) found.names.push(match.index);
  found.names.sort((one, other) => one - other);
}
