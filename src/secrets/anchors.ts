import { issuerAnchors as more } from './issuer_rules.ts';
import { foreignNamePrefixes, matchNameAt, twoCharacterNames } from './languages.ts';

// Where to look at all. Each token holds three characters that are seldom elsewhere, and so does each name of a secret: one pass over a
// text finds them by a table, 2 ns a character, and prose that has none of them is done.

const tokenAnchors =
  `A3T AKI ASI ABI ACC AIz GOC ya2 ho_ hp_ hu_ hs_ hr_ b_p glp gld glr glc glf gli gla gls glo GR1 xox xap ks. sk_ rk_ whs SG.
  ey- -us pm_ pi- sk- hf_ rg_ plx r8_ _v1 oks shp EAA sq0 dap dp. hvs hvb hvr sv1 n_a ntn et_ ATA MAK snt NRA AGE mk. mr. mi. mp. eyJ`.split(
    /\s+/,
  );
// SK and 32 hexadecimal digits, 123456789:A…, a1b8Q~…
const digitAnchors = [...'0123456789'].flatMap((digit) => [`${digit}Q~`, `${digit}:A`]);
const hexadecimal = [...'0123456789abcdef'];
const hexAnchors = hexadecimal.flatMap((digit) => [`SK${digit}`, `AC${digit}`]);
const namePrefixes =
  'pas pwd psw pw= pw: _pw dpw tpw psk sec tok key auth cred bear kennwort contra senha mot mdp wachtwoord hasło heslo lösen adgang salas parola парол mnemonic phrase şif jelsz'
    .split(' ')
    .map((word) => word.slice(0, 3))
    .concat('pw ');
const name =
  /pass|pwd|pswd|[_a-z]?pw[=:\s]|_pw|psk|secret|token|key|auth|credential|bearer|kennwort|contrase[ñn]a|senha|mot de passe|парол|phrase|mnemonic|mdp|wachtwoord|hasło|heslo|lösenord|adgangskode|salasana|parola|şifre|jelsz[óo]/iy;
const loginAnchors = ['bas', ' -u', '\n-u', '\t-u', '--u', 'y-u', 'ssh'];

const [TOKEN, NAME, LOGIN, KEYWORD] = [1, 2, 4, 8];
const table = new Uint8Array(65_536);
const slotOf = (a: number, b: number, c: number): number => ((a << 10) ^ (b << 5) ^ c) & 0xffff;

function addTrigram(trigram: string, category: number): void {
  table[slotOf(trigram.charCodeAt(0), trigram.charCodeAt(1), trigram.charCodeAt(2))]! |= category;
}

/** In all its ways of writing. */
function addTrigramInAnyCase(word: string, category: number): void {
  const cases = [...word].map((character) => [character.toLowerCase(), character.toUpperCase()]);
  for (let i = 0; i < 8; i += 1) addTrigram(cases.map((way, at) => way[(i >> at) & 1]!).join(''), category);
}

for (const three of [...tokenAnchors, ...more, ...digitAnchors, ...hexAnchors]) if (three.length === 3) addTrigram(three, TOKEN);
for (const word of [...namePrefixes, ...foreignNamePrefixes]) addTrigramInAnyCase(word.slice(0, 3), NAME);
for (const word of loginAnchors) addTrigramInAnyCase(word, LOGIN);

interface Keyword {
  keyword: string;
  rule: number;
}

const keywordsByTrigram = new Map<string, Keyword[]>();

/** Words of places (src/secrets/place.ts), by their last three characters; `place`: what the place is known by. */
export function registerKeywords(keywords: string[], rule: number): void {
  for (const word of keywords) {
    const trigram = word.slice(-3);
    addTrigram(trigram, KEYWORD);
    keywordsByTrigram.set(trigram, [...(keywordsByTrigram.get(trigram) ?? []), { keyword: word, rule }]);
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
  keywords: { at: number; rule: number }[];
}

const DOT = 46;

export function findAnchors(text: string): Anchors {
  const found: Anchors = { tokens: [], names: [], login: false, keywords: [] };
  let a = text.charCodeAt(0);
  let b = text.charCodeAt(1);
  for (let i = 2; i < text.length; i += 1) {
    const c = text.charCodeAt(i);
    const categories = table[((a << 10) ^ (b << 5) ^ c) & 0xffff]!;
    if (categories !== 0) addAnchors(text, i - 2, categories, found);
    // the six characters between the dots of a token of Discord
    if (c === DOT && i > 6 && text.charCodeAt(i - 7) === DOT) found.tokens.push(i);
    a = b;
    b = c;
  }
  if (firstCharacters.some((character) => text.includes(character))) addTwoCharacterNames(text, found);
  return found;
}

function addAnchors(text: string, at: number, categories: number, found: Anchors): void {
  if (categories & TOKEN) found.tokens.push(at);
  if (categories & LOGIN) found.login = true;
  if (categories & KEYWORD) addKeywords(text, at, found);
  if ((categories & NAME) === 0) return;
  name.lastIndex = at;
  if (name.test(text) || matchNameAt(text, at)) found.names.push(at);
}

function addKeywords(text: string, at: number, found: Anchors): void {
  for (const { keyword, rule } of keywordsByTrigram.get(text.slice(at, at + 3)) ?? [])
    if (text.startsWith(keyword, at + 3 - keyword.length)) found.keywords.push({ at, rule });
}

const firstCharacters = [...'密口令暗암비'];

/** Words of two characters. */
function addTwoCharacterNames(text: string, found: Anchors): void {
  for (const match of text.matchAll(twoCharacterNames)) found.names.push(match.index);
  found.names.sort((one, other) => one - other);
}
