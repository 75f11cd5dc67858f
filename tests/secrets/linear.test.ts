import { findSecrets } from '../../src/secrets/detect.ts';
import { redactJson } from '../../src/secrets/redact.ts';

// The time of the detector is linear in the length of the text, even for hostile texts. The characters that its expressions and searches scan are
// counted, so that the speed of the machine does not matter. Every quantifier is bounded, so that backtracking has a constant cost.

interface Counted {
  characters: number;
}

/** Counts the scanned characters while `work` runs. Every use of an expression calls `exec`. */
function counting(work: () => void): number {
  const counted: Counted = { characters: 0 };
  const { exec } = RegExp.prototype;
  const { indexOf, includes, slice } = String.prototype;
  const seek = (text: string, from: number, found: number) => (found < 0 ? text.length - from : found - from) + 1;
  RegExp.prototype.exec = function counted_exec(this: RegExp, text: string) {
    const from = this.global || this.sticky ? this.lastIndex : 0;
    const match = exec.call(this, text);
    if (match) counted.characters += match.index - from + match[0].length + 1;
    else counted.characters += this.sticky ? 1 : Math.max(0, text.length - from) + 1;
    return match;
  };
  String.prototype.indexOf = function counted_indexOf(this: string, word: string, from = 0) {
    const found = indexOf.call(this, word, from);
    counted.characters += seek(this, from, found);
    return found;
  };
  String.prototype.includes = function counted_includes(this: string, word: string, from = 0) {
    counted.characters += seek(this, from, indexOf.call(this, word, from));
    return includes.call(this, word, from);
  };
  String.prototype.slice = function counted_slice(this: string, from?: number, to?: number) {
    const part = slice.call(this, from, to);
    counted.characters += part.length;
    return part;
  };
  try {
    work();
  } finally {
    RegExp.prototype.exec = exec;
    Object.assign(String.prototype, { indexOf, includes, slice });
  }
  return counted.characters;
}

const SIZE = 48 * 1024;
/** Maximum growth if the length doubles. More than 2, because only the longer text may reach some bound. */
const GROWTH = 2.3;
const A_CHARACTER = 6_000;

const pieces = [
  'a',
  'a.a.a.',
  'eyJ',
  '-eyJ',
  'sk-',
  '-sk-ant-',
  'password=',
  'password ',
  'password: "',
  'password for ',
  'x://a:',
  '://',
  'a:b@',
  '"+"',
  '"',
  '\n',
  ' ',
  '\\\n',
  '-----BEGIN PRIVATE KEY-----',
  '-----BEGIN ',
  '---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n',
  'A\n',
  'AKIA\n',
  'basic ',
  ' -u a:',
  'key',
  '4111',
  '1 ',
  'DE89 ',
  'a@a.',
  '+1',
  'ghp_',
  'eyJ.',
  '>',
  '\\"',
  'MTA.',
  'https://hooks.slack.com/',
  'password" : "',
  '1234567890:A',
  'bearer ',
  'a1B2/',
  `${'QUJD'.repeat(10)} `,
  'Password: x\n',
  '{"token":',
  '{"passwords":{',
  'passwords:\n ',
  'passwords: {a: b, ',
  'cookie: a=b; ',
  'Cookie: ',
  '; a=bcdefgh',
  'mysql ',
  'mysql -',
  'docker login ',
  'machine a login b ',
  'machine ',
  'Private-Lines: 1\nAAAA\n',
  '"kty" "d":"',
  'name: a value: ',
  'value ',
  '?sig=',
  '&token=a',
  'identified by ',
  ':*:',
  'a:*:a:a:',
  '7z ',
  'jdbc:oracle:thin:a/',
  '@tcp(',
  ':@',
  '密码',
  'パスワード',
  '| password ',
  "define('password', '",
  'xoxd-%',
  'AAAAAAAAAAAAAAAAAAAA%',
  'IQoJb3JpZ2lu',
  'login ',
  'login a/',
  'log in as a b / ',
  'docker login -',
  'ldapsearch -w ',
  'echo a | ',
  'net use \\\\a ',
  'AUTH ',
  'USER a\n',
  '$ pass a\n',
  'password below:\n',
  "fill('password', ",
  'auth("a", "',
  'insert into a (',
  "insert into a (password) values ('",
  "insert into a (password) values ''",
  'password,a\n',
  '| password |\n',
  'PIN for ',
  'recovery code: ',
  'recovery codes: a1b2-c3d4 ',
  'seed phrase: ',
  'seed abc ',
  'kind: Secret\n',
  'data:\n a: b\nkind: Secret\n',
  'use aB3$dE6f as password ',
  'Password A1b2C3d4E5 ',
  '\u001b[0m',
  'password\u200b',
  'WIFI:T:a;',
  'API-Schlüssel ',
  'clave de ',
  'ab_live_',
  'ab-cd_',
  '\tTRUE\t1\t',
  'Digest username=',
  'keyName value ',
  'variable "a" {',
  'name="a"\n',
  'temporary password for ',
  'user a on >',
  '&access_token%3D',
  '<<< token ',
];

test.each(pieces.map((piece) => [JSON.stringify(piece), piece]))('the work for %s is linear in its length', (_name, piece) => {
  const read = (size: number) =>
    counting(() => void findSecrets(piece.repeat(Math.ceil(size / piece.length)), { personal_data: true, contacts: true }));
  const [once, twice] = [read(SIZE), read(2 * SIZE)];
  expect(twice / once).toBeLessThan(GROWTH);
  expect(once / SIZE).toBeLessThan(A_CHARACTER);
});

test.each([
  ['an array of arguments', (n: number) => ({ argv: Array.from({ length: n }, () => '--password') })],
  ['an array of names', (n: number) => Array.from({ length: n }, () => 'Authorization')],
  [
    'a deep map of secrets',
    (n: number) => deep(Math.min(n, 1_000)).concat(Array.from({ length: n }, () => ({ secrets: { a: 'b' } }))),
  ],
  ['objects with names and values', (n: number) => Array.from({ length: n }, () => ({ name: 'DB_PASSWORD', value: 'x' }))],
])('the work for %s is linear in its length', (_name, make) => {
  const read = (n: number) => counting(() => void redactJson(make(n), { personal_data: false, contacts: false }, '#'));
  expect(read(4_000) / read(2_000)).toBeLessThan(GROWTH);
});

function deep(n: number): unknown[] {
  let value: unknown = 'x';
  for (let i = 0; i < n; i += 1) value = { tokens: value };
  return [value];
}
