import { entropyOf, isPlaceholder } from '../../src/secrets/shapes.ts';
import { isBasicLogin, isNotExample, isPassword, isToken, type ValueSetting } from '../../src/secrets/value.ts';

// Which values are secrets in which setting.

const settings: ValueSetting[] = ['quoted', 'env', 'bare', 'prose'];
const passwordIn = (value: string) => settings.filter((setting) => isPassword(value, setting));
const tokenIn = (value: string) => settings.filter((setting) => isToken(value, setting));
const everywhere = settings;

test('entropy is measured in bits per character', () => {
  expect([entropyOf(''), entropyOf('aaaa'), entropyOf('abab'), entropyOf('abcd'), entropyOf('aaab')]).toEqual([
    0,
    0,
    1,
    2,
    expect.closeTo(0.811278),
  ]);
  expect(entropyOf('éé')).toBe(0);
});

test.each([
  ['********'],
  ['<YOUR_API_KEY>'],
  ['${TOKEN}'],
  ['{{ secret }}'],
  ['%PASS%'],
  ['$DB_PASSWORD'],
  ['[redacted:x]'],
  ['my-example-key'],
  ['change_me'],
  ['Password'],
  ['NULL'],
  ['abababab'],
  ['your-token'],
  ['xxxxq7Zk9'],
])('%s is a placeholder', (value) => {
  expect(isPlaceholder(value)).toBe(true);
});

test('a longer value that contains a placeholder is none', () => {
  expect(['hunter2', 'abcabc', 'swordfish', 'todoist9'].map(isPlaceholder)).toEqual([false, false, false, false]);
  const say = (length: number) => isPlaceholder(`example${'q7Zk'.repeat(60)}`.slice(0, length));
  expect([say(199), say(200)]).toEqual([true, false]);
});

test.each<[string, ValueSetting[]]>([
  // of the minimum length
  ['abc', []],
  ['abcd', ['quoted']],
  ['ab1!', ['quoted']],
  ['ab1!x', ['quoted', 'env']],
  ['hunter2', everywhere],
  ['ab12x', ['quoted', 'env']],
  ['ab12xy', everywhere],
  // a plain word is a value only where nothing else is allowed
  ['swordfish', ['quoted', 'env']],
  ['12345678', ['quoted', 'env', 'bare']],
  ['word!', ['quoted', 'env']],
  ['wordly!', ['quoted', 'env', 'bare']],
  ['wo!rdly', everywhere],
  ['12!456', everywhere],
  ['correct-horse-battery-staple', everywhere],
  ['correct-horse-battery', ['quoted', 'env']],
  // with another use
  ['********', []],
  ['RS256', ['quoted']],
  ['sha256:abc1', ['quoted']],
  ['1.22.333', ['env']],
  ['2024-01-05', ['env']],
  ['newPassword1', ['quoted', 'env']],
  ['config/a1.json', ['quoted', 'env', 'bare']],
  ['https://a.example/x1', []],
  ['/run/secrets/db1', []],
  ['a=b1c2d3', ['quoted', 'env', 'bare']],
  [')abc1def', ['quoted']],
  ['a.*b1cd', ['quoted']],
])('%s is a password in the settings %j', (value, where) => {
  expect(passwordIn(value)).toEqual(where);
});

test('a password has at most 1,024 characters', () => {
  const of = (length: number) => 'aB3$'.repeat(300).slice(0, length);
  expect([isPassword(of(1_024), 'quoted'), isPassword(of(1_025), 'quoted')]).toEqual([true, false]);
});

test.each<[string, boolean]>([
  ['correct horse battery staple', true],
  ['correct horse battery', true],
  ['correct horse', false],
  ['we go to sea', false],
  ['the cat sat', true],
  ['purple horse 7', true],
  ['correct horse battery staple!', false],
  ['purple horse battery staple #9', true],
  ['a b c d e f g 9', true],
  ['a b c d e f g h 9', false],
  ['some secret 9', false],
  ['Enter your password', false],
  ['must be at least nine', false],
  ['correct (horse) battery staple', false],
  ['naïve café crème brûlée', true],
  ['one 2wo three four', true],
  ['alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima', true],
  ['alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike', false],
  ['correct horse batt,ery staple', false],
])('%j is a passphrase: %s', (value, is) => {
  expect(passwordIn(value)).toEqual(is ? ['quoted'] : []);
});

test('a passphrase has at most 160 characters', () => {
  const of = (length: number) => `${'a'.repeat(30)} ${'b'.repeat(30)} ${'c'.repeat(30)} ${'d'.repeat(30)} `.padEnd(length, 'e');
  expect([isPassword(of(160), 'quoted'), isPassword(of(161), 'quoted')]).toEqual([true, false]);
});

test.each<[string, ValueSetting[]]>([
  ['q7Zk3mP', []],
  ['q7Zk3mP9', ['quoted', 'env']],
  ['q7Zk3mP9xTv', ['quoted', 'env']],
  ['q7Zk3mP9xTvB', everywhere],
  ['base64:q7Zk3mP9', ['quoted', 'env']],
  // not random
  ['abcdefgh', []],
  ['aabbaabb1', []],
  ['ab1ab1ab1ab1', []],
  ['abcd!efg', ['quoted', 'env']],
  ['12345678', []],
  ['!#$%&*+?', []],
  // identifiers
  ['user-service-v2', []],
  ['next_page_12', []],
  ['eu-west-1', []],
  ['UserService2', []],
  ['v1.2.3-beta1', []],
  ['a1-b2-c3-d4x', everywhere],
  ['bcdfg-hjklm-12', everywhere],
  // with another use
  ['RS256-signed', []],
  ['JWT/RS256-signed1', []],
  ['/var/run/secrets1', []],
  ['https://a.example/q7Zk3mP9xTvB', []],
  ['arn:aws:iam::123456789012:role', []],
  ['q7Zk[3mP9xTvB', ['quoted']],
  ['q7Zk 3mP9xTvB', []],
])('%s is a token in the settings %j', (value, where) => {
  expect(tokenIn(value)).toEqual(where);
});

test('a token has at most 4,096 characters and may be Base64 that starts like a path or scheme', () => {
  const of = (length: number) => 'aB3$eF7h'.repeat(520).slice(0, length);
  expect([isToken(of(4_096), 'quoted'), isToken(of(4_097), 'quoted')]).toEqual([true, false]);
  const chance = 'q7Zk3mP9xTvB2nL8wR4yH6jD1gS5fC0aEuIoKzXi';
  expect(isToken(`/${chance}`, 'quoted')).toBe(true);
  expect(isToken(`/a/${chance.slice(3)}`, 'quoted')).toBe(true);
  expect(isToken('/a/b1/q7Zk3mP9xTvB2nL8', 'quoted')).toBe(false);
  expect(isToken('//a.b1/q7Zk3mP9xTvB2nL8', 'quoted')).toBe(false);
});

test('random bytes in Base64 are a token of any length, also if they begin like a path; a path is none', () => {
  const bytes = 'ZUGMgYSuDTUvQI8PN2BRxPzKu897yml3bXgWQi15CQ2vNCdI6Imj4axHRBuQ5n1yvnkeA1j2Ivi1jTXCtEnE7kQz0Lw';
  for (const length of [41, 60, 90]) expect([length, tokenIn(`/${bytes.slice(0, length)}`)]).toEqual([length, everywhere]);
  expect(tokenIn('/var/lib/kubelet/pods/volumes/secrets2026/data/mounted')).toEqual([]);
});

test('isNotExample is false for examples and repetitive values', () => {
  expect(isNotExample('ghp_q7Zk3mP9xTvB2nL8')).toBe(true);
  for (const mark of ['example', 'placeholder', 'your_', 'xxxxx', '***', '00000000', '1234567890', 'abcdefghij'])
    expect([mark, isNotExample(`q7Zk3mP9${mark}TvB2nL8w`)]).toEqual([mark, false]);
  expect(isNotExample('a1a1a1a1a1a1a1a1')).toBe(false);
  // judged by the first 64 characters
  expect([isNotExample(`${'ab'.repeat(32)}q7Zk3mP9xTvB2nL8w`), isNotExample(`q7Zk3mP9xT${'a'.repeat(100)}`)]).toEqual([
    false,
    false,
  ]);
  expect(isNotExample(`${'q7Zk3mP9xTvB2nL8'.repeat(4)}${'a'.repeat(400)}`)).toBe(true);
});

test('Basic credentials are a user, a colon and a password of at least three characters', () => {
  const login = (text: string) => isBasicLogin(Buffer.from(text).toString('base64'));
  expect([login('user:pas'), login('u:pass'), login('user:pa'), login('user password'), login(':password')]).toEqual([
    true,
    true,
    false,
    false,
    false,
  ]);
  expect([
    login(`${'u'.repeat(100)}:pass`),
    login(`${'u'.repeat(101)}:pass`),
    login('üser:password'),
    isBasicLogin('dTpw'),
  ]).toEqual([true, false, false, false]);
  const long = (length: number) =>
    isBasicLogin(
      Buffer.from(`user:${'p'.repeat(length)}`)
        .toString('base64')
        .replace(/=+$/, ''),
    );
  expect([long(370), long(371)]).toEqual([true, false]);
});
