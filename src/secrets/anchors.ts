import { issuerAnchors as more } from './issuer_rules.ts';
import { foreignNamePrefixes, matchNameAt, twoCharacterNames } from './languages.ts';

// Prefilter for the detection of secrets. Every token, and every name of a secret, contains a trigram that is rare elsewhere. One pass over the text
// finds these trigrams in a table at 2 ns per character; text without any needs no further work.

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

/** Adds a trigram in every combination of upper and lower case. */
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

/** Registers the keywords of a rule (keyword_rule.ts) by their last three characters. `rule` is the index of the rule. */
export function registerKeywords(keywords: string[], rule: number): void {
  for (const word of keywords) {
    const trigram = word.slice(-3);
    addTrigram(trigram, KEYWORD);
    keywordsByTrigram.set(trigram, [...(keywordsByTrigram.get(trigram) ?? []), { keyword: word, rule }]);
  }
}

export interface Anchors {
  /** Positions at which a token may be, in order. */
  tokens: number[];
  /** Positions of words that occur in names of secrets, in order. */
  names: number[];
  /** True if the text may contain Basic credentials or `-u user:password`. */
  login: boolean;
  /** Keywords in order: the position of the last three characters, and the index of the rule. */
  keywords: { at: number; rule: number }[];
}

const DOT = 46;

export function findAnchors(text: string): Anchors {
  const anchors: Anchors = { tokens: [], names: [], login: false, keywords: [] };
  let a = text.charCodeAt(0);
  let b = text.charCodeAt(1);
  for (let i = 2; i < text.length; i += 1) {
    const c = text.charCodeAt(i);
    const categories = table[((a << 10) ^ (b << 5) ^ c) & 0xffff]!;
    if (categories !== 0) addAnchors(text, i - 2, categories, anchors);
    // a Discord token has six characters between its dots
    if (c === DOT && i > 6 && text.charCodeAt(i - 7) === DOT) anchors.tokens.push(i);
    a = b;
    b = c;
  }
  if (firstCharacters.some((character) => text.includes(character))) addTwoCharacterNames(text, anchors);
  return anchors;
}

function addAnchors(text: string, at: number, categories: number, anchors: Anchors): void {
  if (categories & TOKEN) anchors.tokens.push(at);
  if (categories & LOGIN) anchors.login = true;
  if (categories & KEYWORD) addKeywords(text, at, anchors);
  if ((categories & NAME) === 0) return;
  name.lastIndex = at;
  if (name.test(text) || matchNameAt(text, at)) anchors.names.push(at);
}

function addKeywords(text: string, at: number, anchors: Anchors): void {
  for (const { keyword, rule } of keywordsByTrigram.get(text.slice(at, at + 3)) ?? [])
    if (text.startsWith(keyword, at + 3 - keyword.length)) anchors.keywords.push({ at, rule });
}

const firstCharacters = [...'密口令暗암비'];

/** Finds names of two characters, which have no trigram. */
function addTwoCharacterNames(text: string, anchors: Anchors): void {
  for (const match of text.matchAll(twoCharacterNames)) anchors.names.push(match.index);
  anchors.names.sort((one, other) => one - other);
}
