import { anchors as more } from './issuers.ts';

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
  'pas pwd sec tok key aut cre bea ken con sen mot mdp wac has hes lös adg sal parola пар パスワ 비밀번 pw= pw: _pw dpw tpw phr mne'
    .split(' ')
    .map((word) => word.slice(0, 3));
const name =
  /pass|pwd|[_a-z]?pw[=:]|_pw|secret|token|key|auth|credential|bearer|kennwort|contrase[ñn]a|senha|mot de passe|парол|phrase|mnemonic|密[码碼]|口令|mdp|wachtwoord|hasło|heslo|lösenord|adgangskode|salasana|parola|パスワード|비밀번호/iy;
const logins = ['bas', ' -u', '\n-u', '\t-u', '--u', 'ssh'];

// of the words that places.ts looks for: re= of `signature=`, oki of `cookie`
const places = [
  're=',
  'ig=',
  'en=',
  'EN=',
  'wt=',
  'th=',
  'ey=',
  'de=',
  'et=',
  'oki',
  'ogi',
  ':54',
  ':64',
  ':*:',
  'ysq',
  'iad',
  's-c',
  'htp',
  'lda',
  'gos',
  ' -P',
  'ss:',
  'jdb',
  'x-o',
  'cp(',
  'ix(',
  '7z ',
  '7za',
  'alu',
  'kty',
  'e-L',
  'SH2',
  'VPN',
  'TIF',
  'tif',
  'x@g',
];

const [TOKEN, NAME, LOGIN, PLACE] = [1, 2, 4, 8];
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
for (const word of names) enterAnyCase(word, NAME);
for (const word of logins) enterAnyCase(word, LOGIN);
for (const three of places) enter(three, PLACE);

export interface Anchors {
  /** Where a token may be, in order. */
  tokens: number[];
  /** Beginnings of words that a name of a secret has, in order. */
  names: number[];
  /** Basic credentials, `-u user:password`. */
  login: boolean;
  /** Words that src/secrets/places.ts looks for. */
  place: boolean;
}

const DOT = 46;

export function anchorsOf(text: string): Anchors {
  const found: Anchors = { tokens: [], names: [], login: false, place: false };
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
  if (text.includes('密') || text.includes('口令')) chinese(text, found);
  return found;
}

function note(text: string, at: number, sorts: number, found: Anchors): void {
  if (sorts & TOKEN) found.tokens.push(at);
  if (sorts & LOGIN) found.login = true;
  if (sorts & PLACE) found.place = true;
  if ((sorts & NAME) === 0) return;
  name.lastIndex = at;
  if (name.test(text)) found.names.push(at);
}

/** A word of two characters. */
function chinese(text: string, found: Anchors): void {
  for (const match of text.matchAll(/密[码碼]|口令/g)) found.names.push(match.index);
  found.names.sort((one, other) => one - other);
}
