import { findSecrets } from '../../src/secrets/detect.ts';
import { jointsOf, upperBound } from '../../src/secrets/joined_text.ts';
import { crossesLines } from '../../src/secrets/tokens.ts';

// What is wrapped, cut off, or stands over several lines.

const classes = { personal_data: false, contacts: false };
const cut = (text: string) => findSecrets(text, classes).map(({ from, to, kind }) => [kind, text.slice(from, to)]);
const github = `ghp_${'a8Fk3LmQ9zXw2Vb7Nc5Rt1Yp6Hd4Sg0Jk2Zq'}`;
const base64 = (text: string) => Buffer.from(text).toString('base64');

test('base64 of a text with a secret goes whole, twice wrapped too; of an image or of no text it stays', () => {
  const once = base64(`{"token": "${github}"}`);
  expect(cut(`data ${once} end`)).toEqual([['github-token', once]]);
  const twice = base64(once);
  expect(cut(`data ${twice} end`)).toEqual([['github-token', twice]]);
  expect(cut(`data ${base64(twice)} end`)).toEqual([]);
  expect(cut(`data ${base64(`\u0001${github}`)} end`)).toEqual([]);
  expect(cut(`data ${base64(`line\n\t\r${github}`)} end`)).toHaveLength(1);
  for (const wrong of ['\u000b', '\u001f', '\u007f', 'é'])
    expect([wrong, cut(`data ${base64(`${'x '.repeat(15)}${wrong} ${github}`)} end`)]).toEqual([wrong, []]);
  // beyond the first kilobyte anything may stand
  expect(cut(`data ${base64(`${github} ${'x '.repeat(600)}\u0001`)} end`)).toHaveLength(1);
});

test('a token behind a sign is one, and of a longer word all is cut', () => {
  expect(cut(`x${github}`)).toEqual([['token', `x${github}`]]);
  for (const sign of ['_', '-', '/', '=', ':', '"'])
    expect([sign, cut(`x${sign}${github}`)]).toEqual([sign, [['github-token', github]]]);
  expect(cut(`${github} ${github}`)).toHaveLength(2);
  expect(cut('gh')).toEqual([]);
});

const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
test('a JSON Web Token has a header that names an algorithm, and two more parts', () => {
  const [header, body, signature] = [part({ alg: 'HS256' }), part({ sub: 'ann' }), 'q7Zk3mP9xTvB2nL8'];
  const whole = `${header}.${body}.${signature}`;
  expect(cut(`It is ${whole} now`)).toEqual([['jwt', whole]]);
  expect(cut(`x=${whole}&y=${whole}`)).toHaveLength(2);
  for (const name of ['enc', 'typ']) {
    const other = `${part({ [name]: 'x' })}.${body}.${signature}`;
    expect(cut(other)).toEqual([['jwt', other]]);
  }
  const encrypted = `${part({ alg: 'dir', enc: 'x' })}..${signature}.${signature}.${signature}`;
  expect(cut(encrypted)).toEqual([['jwt', encrypted]]);
  expect(cut(`${part({ sub: 'annemarie' })}.${body}.${signature}`)).toEqual([]);
  expect(cut(`${header}.${body.slice(0, 7)}`)).toEqual([]);
  expect(cut(`${header}.${body.slice(0, 8)}`)).toHaveLength(1);
  expect(cut(`x${whole}`)).toEqual([]);
  expect(cut(`${header}${body}`)).toEqual([]);
});

const awsId = `AKIA${'Q7ZK3MP9XTVB2NL8'}`;
const awsSecret = 'q7Zk3mP9xTvB2nL8wR4yH6jD1gS5fC0aEuIoKzXi';
test('beside an access key of AWS 40 characters of chance are its secret', () => {
  expect(cut(`${awsId} ${awsSecret}`)).toEqual([
    ['aws-access-key', awsId],
    ['aws-secret-key', awsSecret],
  ]);
  expect(cut(awsSecret)).toEqual([]);
  const apart = (n: number) => cut(`${awsId}${' '.repeat(n - awsId.length)}${awsSecret}`).length;
  expect([apart(399), apart(400)]).toEqual([2, 1]);
  const others = [
    awsSecret.slice(1),
    `${awsSecret}x`,
    awsSecret.toLowerCase(),
    awsSecret.toUpperCase(),
    awsSecret.replaceAll(/\d/g, 'w'),
  ];
  for (const other of [...others, 'aB3dE'.repeat(8)]) expect([other, cut(`${awsId} ${other}`).length]).toEqual([other, 1]);
});

const body = Array.from({ length: 4 }, (_, i) => `q7Zk3mP9xTvB2nL8wR4yH6jD1gS5fC0${i}`).join('\n');
const pem = (kind = 'RSA PRIVATE KEY') => `-----BEGIN ${kind}-----\n${body}\n-----END ${kind}-----`;
test('a private key goes from its beginning to its end, or as far as it goes', () => {
  for (const kind of ['PRIVATE KEY', 'RSA PRIVATE KEY', 'PGP PRIVATE KEY BLOCK', 'ENCRYPTED EC PRIVATE KEY'])
    expect(cut(`a\n${pem(kind)}\nb`)).toEqual([['private-key', pem(kind)]]);
  expect(cut(`${pem()}\n${pem()}`)).toEqual([
    ['private-key', pem()],
    ['private-key', pem()],
  ]);
  const open = `-----BEGIN PRIVATE KEY-----\n${body}`;
  expect(cut(`${open}\n and so on`)).toEqual([['private-key', open]]);
  expect(cut(`${pem()}\n${open}`)).toEqual([
    ['private-key', pem()],
    ['private-key', open],
  ]);
  expect(cut('-----BEGIN PRIVATE KEY----- is its first line')).toEqual([]);
  expect(cut(`-----BEGIN PUBLIC KEY-----\n${body}\n-----END PUBLIC KEY-----`)).toEqual([]);
});

test('a token that goes on in the next line is found there, and the words behind it stay', () => {
  const [a, b] = [github.slice(0, 16), github.slice(16)];
  for (const joint of ['\n', '\r\n    ', '\n> ', '\n# ', '\\\n', '" +\n "', "' '", '` + `', '" & "'])
    expect([joint, cut(`It is "${a}${joint}${b}" and more`).map(([kind]) => kind)]).toEqual([joint, ['github-token']]);
  const text = `It is ${a}\n${b}\nand more`;
  expect(cut(text)).toEqual([['github-token', `${a}\n${b}`]]);
  // of no fixed length: the next word does not look like the rest
  const slack = 'xoxb-q7Zk3mP9xTvB2nL8';
  expect(cut(`${slack}\nword`)).toEqual([['slack-token', slack]]);
  expect(cut(`${slack}\nabcdefgh`)).toEqual([['slack-token', slack]]);
  for (const rest of ['ab12cd', 'aB12x9', 'wordWord', 'a'.repeat(20)])
    expect([rest, cut(`${slack}\n${rest}`)]).toEqual([rest, [['slack-token', `${slack}\n${rest}`]]]);
  for (const rest of ['a1b2c', 'wordword', 'a'.repeat(19).replace(/a/g, 'w')])
    expect([rest, cut(`${slack}\n${rest}`)]).toEqual([rest, [['slack-token', slack]]]);
});

test('whether a run of characters that may be a token crosses a line', () => {
  const crosses = (text: string) => crossesLines(text);
  expect(crosses('abcdefgh1\nijklmno')).toBe(true);
  expect(crosses('abcdefgh1\nijklmn')).toBe(false);
  expect(crosses('abcdefgh1ijklmnop')).toBe(false);
  expect(crosses('abcdefghi\njklmnopqr')).toBe(false);
  expect(crosses('abcdefgh_\njklmnopqr')).toBe(true);
  expect(crosses('abcdefgHI\njklmnopqr')).toBe(true);
  expect(crosses('abcdefgHi\njklmnopqr')).toBe(false);
  expect(crosses('AbcdefghZ\njklmnopqr')).toBe(false);
  expect(crosses('abcdefZAi\njklmnopqr')).toBe(true);
  expect(crosses('abcdefgh0\njklmnopqr')).toBe(true);
  expect(crosses('abcdefgh9 \r\n\t> jklmnopqr')).toBe(true);
  // another word stands between
  expect(crosses('abcdefgh1 x jklmnopqrs')).toBe(false);
  expect(crosses('abcdefgh1! \njklmnopqrstuvwx')).toBe(false);
  expect(crosses('\nabcdefgh1ijklmnop')).toBe(false);
  expect(crosses('a b\nabcdefgh1ijklmnopq')).toBe(true);
});

test('the joints of a text', () => {
  const joints = jointsOf([3, 5, 9]);
  expect([joints.has(5), joints.has(4)]).toEqual([true, false]);
  expect([joints.between(3, 9), joints.between(2, 10), joints.between(9, 20)]).toEqual([[5], [3, 5, 9], []]);
  expect([0, 3, 4, 9].map((value) => upperBound([3, 5, 9], value))).toEqual([0, 1, 1, 3]);
});
