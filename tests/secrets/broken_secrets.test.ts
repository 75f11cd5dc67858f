import { findSecrets } from '../../src/secrets/detect.ts';
import { jointsOf, upperBound } from '../../src/secrets/joined_text.ts';
import { crossesLines } from '../../src/secrets/tokens.ts';

// Secrets that are encoded, truncated or broken over several lines.

const classes = { personal_data: false, contacts: false };
const secretsIn = (text: string) => findSecrets(text, classes).map(({ from, to, kind }) => [kind, text.slice(from, to)]);
const github = `ghp_${'a8Fk3LmQ9zXw2Vb7Nc5Rt1Yp6Hd4Sg0Jk2Zq'}`;
const base64 = (text: string) => Buffer.from(text).toString('base64');

test('Base64 of a text with a secret is redacted completely, even if encoded twice; Base64 of an image or other bytes is unchanged', () => {
  const once = base64(`{"token": "${github}"}`);
  expect(secretsIn(`data ${once} end`)).toEqual([['github-token', once]]);
  const twice = base64(once);
  expect(secretsIn(`data ${twice} end`)).toEqual([['github-token', twice]]);
  expect(secretsIn(`data ${base64(twice)} end`)).toEqual([]);
  expect(secretsIn(`data ${base64(`\u0001${github}`)} end`)).toEqual([]);
  expect(secretsIn(`data ${base64(`line\n\t\r${github}`)} end`)).toHaveLength(1);
  for (const wrong of ['\u000b', '\u001f', '\u007f', 'é'])
    expect([wrong, secretsIn(`data ${base64(`${'x '.repeat(15)}${wrong} ${github}`)} end`)]).toEqual([wrong, []]);
  // only the first kilobyte is checked for text
  expect(secretsIn(`data ${base64(`${github} ${'x '.repeat(600)}\u0001`)} end`)).toHaveLength(1);
});

test('a token after punctuation is found, and one within a longer word is redacted with all of it', () => {
  expect(secretsIn(`x${github}`)).toEqual([['token', `x${github}`]]);
  for (const sign of ['_', '-', '/', '=', ':', '"'])
    expect([sign, secretsIn(`x${sign}${github}`)]).toEqual([sign, [['github-token', github]]]);
  expect(secretsIn(`${github} ${github}`)).toHaveLength(2);
  expect(secretsIn('gh')).toEqual([]);
});

const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
test('a JSON Web Token needs a header with an algorithm and two more parts', () => {
  const [header, body, signature] = [part({ alg: 'HS256' }), part({ sub: 'ann' }), 'q7Zk3mP9xTvB2nL8'];
  const whole = `${header}.${body}.${signature}`;
  expect(secretsIn(`It is ${whole} now`)).toEqual([['jwt', whole]]);
  expect(secretsIn(`x=${whole}&y=${whole}`)).toHaveLength(2);
  for (const name of ['enc', 'typ']) {
    const other = `${part({ [name]: 'x' })}.${body}.${signature}`;
    expect(secretsIn(other)).toEqual([['jwt', other]]);
  }
  const encrypted = `${part({ alg: 'dir', enc: 'x' })}..${signature}.${signature}.${signature}`;
  expect(secretsIn(encrypted)).toEqual([['jwt', encrypted]]);
  expect(secretsIn(`${part({ sub: 'annemarie' })}.${body}.${signature}`)).toEqual([]);
  expect(secretsIn(`${header}.${body.slice(0, 7)}`)).toEqual([]);
  expect(secretsIn(`${header}.${body.slice(0, 8)}`)).toHaveLength(1);
  expect(secretsIn(`x${whole}`)).toEqual([]);
  expect(secretsIn(`${header}${body}`)).toEqual([]);
});

const awsId = `AKIA${'Q7ZK3MP9XTVB2NL8'}`;
const awsSecret = 'q7Zk3mP9xTvB2nL8wR4yH6jD1gS5fC0aEuIoKzXi';
test('40 random characters near an AWS access key are its secret', () => {
  expect(secretsIn(`${awsId} ${awsSecret}`)).toEqual([
    ['aws-access-key', awsId],
    ['aws-secret-key', awsSecret],
  ]);
  expect(secretsIn(awsSecret)).toEqual([]);
  const apart = (n: number) => secretsIn(`${awsId}${' '.repeat(n - awsId.length)}${awsSecret}`).length;
  expect([apart(399), apart(400)]).toEqual([2, 1]);
  const others = [
    awsSecret.slice(1),
    `${awsSecret}x`,
    awsSecret.toLowerCase(),
    awsSecret.toUpperCase(),
    awsSecret.replaceAll(/\d/g, 'w'),
  ];
  for (const other of [...others, 'aB3dE'.repeat(8)]) expect([other, secretsIn(`${awsId} ${other}`).length]).toEqual([other, 1]);
});

const body = Array.from({ length: 4 }, (_, i) => `q7Zk3mP9xTvB2nL8wR4yH6jD1gS5fC0${i}`).join('\n');
const pem = (kind = 'RSA PRIVATE KEY') => `-----BEGIN ${kind}-----\n${body}\n-----END ${kind}-----`;
test('a private key is redacted from BEGIN to END, or to the end of its body', () => {
  for (const kind of ['PRIVATE KEY', 'RSA PRIVATE KEY', 'PGP PRIVATE KEY BLOCK', 'ENCRYPTED EC PRIVATE KEY'])
    expect(secretsIn(`a\n${pem(kind)}\nb`)).toEqual([['private-key', pem(kind)]]);
  expect(secretsIn(`${pem()}\n${pem()}`)).toEqual([
    ['private-key', pem()],
    ['private-key', pem()],
  ]);
  const open = `-----BEGIN PRIVATE KEY-----\n${body}`;
  expect(secretsIn(`${open}\n and so on`)).toEqual([['private-key', open]]);
  expect(secretsIn(`${pem()}\n${open}`)).toEqual([
    ['private-key', pem()],
    ['private-key', open],
  ]);
  expect(secretsIn('-----BEGIN PRIVATE KEY----- is its first line')).toEqual([]);
  expect(secretsIn(`-----BEGIN PUBLIC KEY-----\n${body}\n-----END PUBLIC KEY-----`)).toEqual([]);
});

test('a token that continues in the next line is found, and the words after it are unchanged', () => {
  const [a, b] = [github.slice(0, 16), github.slice(16)];
  for (const joint of ['\n', '\r\n    ', '\n> ', '\n# ', '\\\n', '" +\n "', "' '", '` + `', '" & "'])
    expect([joint, secretsIn(`It is "${a}${joint}${b}" and more`).map(([kind]) => kind)]).toEqual([joint, ['github-token']]);
  const text = `It is ${a}\n${b}\nand more`;
  expect(secretsIn(text)).toEqual([['github-token', `${a}\n${b}`]]);
  // without a fixed length: the next word does not look like the rest of the token
  const slack = 'xoxb-q7Zk3mP9xTvB2nL8';
  expect(secretsIn(`${slack}\nword`)).toEqual([['slack-token', slack]]);
  expect(secretsIn(`${slack}\nabcdefgh`)).toEqual([['slack-token', slack]]);
  for (const rest of ['ab12cd', 'aB12x9', 'wordWord', 'a'.repeat(20)])
    expect([rest, secretsIn(`${slack}\n${rest}`)]).toEqual([rest, [['slack-token', `${slack}\n${rest}`]]]);
  for (const rest of ['a1b2c', 'wordword', 'a'.repeat(19).replace(/a/g, 'w')])
    expect([rest, secretsIn(`${slack}\n${rest}`)]).toEqual([rest, [['slack-token', slack]]]);
});

test('crossesLines is true for a possible token that is broken by a line break', () => {
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
  // another word is between them
  expect(crosses('abcdefgh1 x jklmnopqrs')).toBe(false);
  expect(crosses('abcdefgh1! \njklmnopqrstuvwx')).toBe(false);
  expect(crosses('\nabcdefgh1ijklmnop')).toBe(false);
  expect(crosses('a b\nabcdefgh1ijklmnopq')).toBe(true);
});

test('jointsOf and upperBound find the joints of a range', () => {
  const joints = jointsOf([3, 5, 9]);
  expect([joints.has(5), joints.has(4)]).toEqual([true, false]);
  expect([joints.between(3, 9), joints.between(2, 10), joints.between(9, 20)]).toEqual([[5], [3, 5, 9], []]);
  expect([0, 3, 4, 9].map((value) => upperBound([3, 5, 9], value))).toEqual([0, 1, 1, 3]);
});
