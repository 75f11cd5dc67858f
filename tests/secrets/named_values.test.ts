import { findSecrets } from '../../src/secrets/detect.ts';

// Values after a name that announces a secret: all separators, and what is not a value.

const SECRET = 'q7Zk3mP9xTvB2nL8';
const secretsIn = (text: string) =>
  findSecrets(text, { personal_data: false, contacts: false }).map(({ from, to, kind }) => [kind, text.slice(from, to)]);

test.each<[string, string]>([
  ['password', `password=${SECRET}`],
  ['password', `password = ${SECRET}`],
  ['password', `password: ${SECRET}`],
  ['password', `password:${SECRET}`],
  ['password', `password := ${SECRET}`],
  ['password', `password => ${SECRET}`],
  ['password', `password -> ${SECRET}`],
  ['password', `password：${SECRET}`],
  ['password', `"password": "${SECRET}"`],
  ['password', `\\"password\\":\\"${SECRET}\\"`],
  ['password', `'password' : '${SECRET}'`],
  ['password', `config["password"] = "${SECRET}"`],
  ['password', `const password: string = '${SECRET}'`],
  ['password', `password: &'static str = "${SECRET}"`],
  ['password', `my password is ${SECRET}`],
  ['password', `the password is now: ${SECRET}`],
  ['password', `password for the server is ${SECRET}`],
  ['password', `password for the server: ${SECRET}`],
  ['password', `das Passwort lautet ${SECRET}`],
  ['password', `the password — ${SECRET}`],
  ['password', `密码是${SECRET}`],
  ['password', `密码：${SECRET}`],
  ['password', `パスワードは${SECRET}`],
  ['password', `| password | ${SECRET} |`],
  ['password', `<password>${SECRET}</password>`],
  ['password', `define('DB_PASSWORD', '${SECRET}')`],
  ['password', `--password ${SECRET}`],
  ['password', `--password=${SECRET}`],
  ['password', `with password ${SECRET}`],
  ['password', `with password '${SECRET}'`],
  ['token', `Authorization: Bearer ${SECRET}`],
  ['token', `bearer ${SECRET}`],
  ['token', `token: ${SECRET}`],
  ['api-key', `api key: ${SECRET}`],
  ['api-key', `api_key=${SECRET}`],
  ['password', `DB_PASSWORD=hunters`],
  ['password', `https://x.example/?password=hunters`],
  ['password', `password == "${SECRET}"`],
])('%s: %s', (kind, text) => {
  const [[found, value] = []] = secretsIn(text);
  expect([found, [SECRET, 'hunters'].includes(value!)]).toEqual([kind, true]);
  expect(secretsIn(text)).toHaveLength(1);
});

test.each([
  ['a comparison', `if (password == other12345)`],
  ['a strict comparison', `if (password === other12345)`],
  ['an ordinary word', 'the password is wrong'],
  ['a name in a list', `['password', 'q7Zk3mP9xTvB2nL8']`],
  ['a name in another call', `get('password', 'q7Zk3mP9xTvB2nL8')`],
  ['a part of an ARN', `arn:aws:secretsmanager:us-east-1:123456789012:secret:q7Zk3mP9xTvB2nL8`],
  ['a count', 'pass: 128'],
  ['a percentage', 'pass: 96.5%'],
  ['a fraction', 'pass=12/12'],
  ['the next setting', 'password=&user=q7Zk3mP9'],
  ['a key without a qualifier', `key: ${SECRET}`],
  ['no value', 'password:'],
])('%s is unchanged: %s', (_, text) => {
  expect(secretsIn(text)).toEqual([]);
});

test('the characters that end a value are not part of it', () => {
  for (const end of ['.', ',', ';', ')', ']', '}', '\\', ').', '"', '<', ' ', '&user=ann', ';user=ann'])
    expect([end, secretsIn(`password=${SECRET}${end}`)]).toEqual([end, [['password', SECRET]]]);
  expect(secretsIn(`[here](https://x.example/?api_key=${SECRET})](x)`).map(([, value]) => value)).toEqual([SECRET]);
});

test('an escaped quote is part of a quoted value', () => {
  expect(secretsIn(`password = "q7Zk\\"3mP9x"`)).toEqual([['password', 'q7Zk\\"3mP9x']]);
});

test('a value has at most 1,024 characters, quoted or not', () => {
  const long = (length: number) => 'aB3$'.repeat(300).slice(0, length);
  expect(secretsIn(`password=${long(1_024)}`)).toEqual([['password', long(1_024)]]);
  expect(secretsIn(`password=${long(1_025)}`)).toEqual([]);
  expect(secretsIn(`password="${long(1_024)}"`)).toEqual([['password', long(1_024)]]);
  expect(secretsIn(`password="${long(1_025)}"`)).toEqual([]);
});

test('the next name after a value that is too long is read', () => {
  const long = 'aB3$'.repeat(300).slice(0, 1_100);
  expect(secretsIn(`password=${long} token=${SECRET}`)).toEqual([['token', SECRET]]);
});

test('a name with two anchors is read once, and the next name is read too', () => {
  expect(secretsIn(`password_password=${SECRET} token=${SECRET}`)).toEqual([
    ['password', SECRET],
    ['token', SECRET],
  ]);
});

test.each([
  ['braces', `passwords: {alice: hunter22, bob: "swordfish9"}`],
  ['JSON', `{"passwords":{"alice":"hunter22","bob":"swordfish9"}}`],
  ['indentation', `passwords:\n  alice: hunter22\n  bob: swordfish9\nother: hunter33`],
  ['indentation by a tab', `passwords:\n\talice: hunter22\n\tbob: swordfish9\n`],
])('the members of a map of secrets in %s are redacted one by one', (_, text) => {
  expect(secretsIn(text)).toEqual([
    ['password', 'hunter22'],
    ['password', 'swordfish9'],
  ]);
});

test('descriptive members of a map and text after it are unchanged', () => {
  expect(secretsIn('passwords: {user: hunter22, host: hunter33, alice: hunter44} bob: hunter55')).toEqual([
    ['password', 'hunter44'],
  ]);
  expect(secretsIn('passwords: {alice: abc}')).toEqual([]);
});

test.each<[string, string]>([
  [`postgres://ann:${SECRET}@db.example/app`, SECRET],
  [`redis://:${SECRET}@db`, SECRET],
  [`https://ann:${SECRET}@[::1]/`, SECRET],
  [`x https://a.example/ y amqp://ann:${SECRET}@q`, SECRET],
  ['postgres://ann:pw@db', 'pw'.length > 2 ? 'pw' : ''],
])('%s contains the password of a URL', (text, value) => {
  expect(secretsIn(text)).toEqual(value === '' ? [] : [['url-password', value]]);
});

test.each([
  'postgres://ann:$DB_PASSWORD@db',
  'postgres://ann:********@db',
  'https://a.example:8080/@scope',
  'https://ann@a.example',
  'http://a.example/x:y@z',
])('%s contains none', (text) => {
  expect(secretsIn(text)).toEqual([]);
});

const login = Buffer.from(`ann:${SECRET}`).toString('base64');
test.each([
  [`Authorization: Basic ${login}`, login],
  [`basic   ${login}`, login],
  [`curl -u ann:${SECRET} https://x`, SECRET],
  [`curl -uann:${SECRET} https://x`, SECRET],
  [`curl --user ann:${SECRET} https://x`, SECRET],
  [`curl --user=ann:${SECRET} https://x`, SECRET],
  [`curl -u "ann:${SECRET}" https://x`, SECRET],
  [`sshpass -p ${SECRET} ssh x`, SECRET],
])('%s contains credentials', (text, value) => {
  expect(secretsIn(text)).toEqual([[/^(?:Authorization|sshpass)/.exec(text) ? expect.any(String) : 'basic-auth', value]]);
});

test.each([
  'Basic authentication',
  `basic ${Buffer.from('no colon in it').toString('base64')}`,
  'curl -u ann:$PASSWORD https://x',
  'curl -u ann:1234 https://x',
  'docker run -u ann://x',
  'curl -u ann:****** https://x',
])('%s contains none', (text) => {
  expect(secretsIn(text)).toEqual([]);
});
