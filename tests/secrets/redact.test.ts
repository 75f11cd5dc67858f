import { countRedactionMarks, redactionMark, redactJson, redactText } from '../../src/secrets/redact.ts';

// Redaction by the structure of JSON: names, pairs, arguments, keys, manifests.

const SECRET = 'q7Zk3mP9xTvB2nL8';
const classes = { personal_data: false, contacts: false };
const redact = (value: unknown, more = classes) => redactJson(value, more, '#');
const redacted = (value: unknown) => redact(value).value;
const pointers = (value: unknown) => redact(value).found.map(({ pointer }) => pointer);
const [password, token, secret] = ['password', 'token', 'secret'].map(redactionMark);
const github = `ghp_${'a8Fk3LmQ9zXw2Vb7Nc5Rt1Yp6Hd4Sg0Jk2Zq'}`;

test('spans of a text are redacted, and marks are counted whoever wrote them', () => {
  expect(
    redactText('ab cd ef', [
      { from: 0, to: 2, kind: 'x' },
      { from: 6, to: 8, kind: 'y' },
    ]),
  ).toBe('[redacted:x] cd [redacted:y]');
  expect(redactText('ab', [])).toBe('ab');
  expect(countRedactionMarks({ a: [redactionMark('x'), `${redactionMark('y')}${redactionMark('z')}`], b: '[redacted:]' })).toBe(
    3,
  );
  expect(countRedactionMarks({})).toBe(0);
});

test('a value without secrets is returned itself, and so is each part without secrets', () => {
  const value = { a: [{ b: 'text' }, ['one', 'two'], 7, null, true], c: { password: SECRET } };
  const { value: cut } = redact(value) as { value: typeof value };
  expect(cut).not.toBe(value);
  expect(cut.a).toBe(value.a);
  expect(redacted(value.a)).toBe(value.a);
  expect(value.c.password).toBe(SECRET);
});

test.each<[string, unknown, unknown]>([
  ['the scheme of a header is kept', { authorization: `Bearer ${SECRET}` }, { authorization: `Bearer ${token}` }],
  [
    'the rest of a text that contains a secret is kept',
    { password: 'my token=q7Zk3mP9xTvB2nL8 .' },
    { password: `my token=${token} .` },
  ],
  [
    'cookies are judged by their own names',
    { cookie: `theme=dark; sid=${SECRET}` },
    { cookie: `theme=dark; sid=${redactionMark('cookie')}` },
  ],
  ['a number that is a password', { password: 123456 }, { password }],
  ['a negative number', { password: -1000 }, { password }],
  ['a small number', { password: 999 }, { password: 999 }],
  ['a fraction', { password: 1234.5 }, { password: 1234.5 }],
  ['a count of tests', { pass: 1234 }, { pass: 1234 }],
  ['a number under the name of a token', { token: 123456 }, { token: 123456 }],
  ['a value that is one word', ['password', 'swordfish'], ['password', password]],
  ['a list with one item', { passwords: ['swordfish'] }, { passwords: [password] }],
  ['an argument after its name', ['login', '--password', 'swordfish'], ['login', '--password', password]],
  ['an option after the name', ['login', '--password', '--verbose'], ['login', '--password', '--verbose']],
  ['an argument after a name with one dash', ['x', '-token', SECRET], ['x', '-token', token]],
  ['a header as a pair', ['X-Api-Key', SECRET], ['X-Api-Key', redactionMark('api-key')]],
  ['a name and a value among three items', ['a', 'password', 'swordfish'], ['a', 'password', 'swordfish']],
])('%s', (_, given, cut) => {
  expect(redacted(given)).toEqual(cut);
});

test.each([
  ['name', 'value'],
  ['key', 'value'],
  ['header', 'value'],
  ['field', 'value'],
  ['id', 'value'],
  ['label', 'value'],
  ['variable', 'value'],
  ['Name', 'Value'],
  ['ParameterKey', 'ParameterValue'],
  ['k', 'v'],
  ['name', 'val'],
])('an object with its name in %s and its value in %s', (title, valued) => {
  expect(redacted({ [title]: 'DB_PASSWORD', [valued]: 'swordfish' })).toEqual({ [title]: 'DB_PASSWORD', [valued]: password });
  expect(redacted({ [title]: 'DB_HOST', [valued]: 'swordfish' })).toEqual({ [title]: 'DB_HOST', [valued]: 'swordfish' });
});

test('a title without a value has no effect, and a value gets the name of the enclosing object', () => {
  expect(redacted({ name: 'password', data: 'swordfish' })).toEqual({ name: 'password', data: 'swordfish' });
  expect(redacted({ password: { value: 'swordfish', since: 'swordfish' } })).toEqual({
    password: { value: password, since: 'swordfish' },
  });
  expect(redacted({ password: { eq: 'swordfish', in: ['swordfish', 'hunter22'] } })).toEqual({
    password: { eq: password, in: [password, password] },
  });
});

test('all members of a map of secrets are redacted except descriptive ones', () => {
  expect(redacted({ passwords: { alice: 'swordfish', user: 'swordfish', expires_in: 'swordfish' } })).toEqual({
    passwords: { alice: password, user: 'swordfish', expires_in: 'swordfish' },
  });
  expect(redacted({ credentials: { main: { token: SECRET, host: 'a.example' } } })).toEqual({
    credentials: { main: { token, host: 'a.example' } },
  });
  expect(redacted({ creds: { main: SECRET } })).toEqual({ creds: { main: secret } });
  expect(redacted({ secrets: 'none' })).toEqual({ secrets: 'none' });
});

test('the private members of a JSON Web Key and the data of a Kubernetes Secret are redacted', () => {
  const key = { kty: 'RSA', n: SECRET, d: SECRET, kid: 'k1' };
  expect(redacted(key)).toEqual({ ...key, d: redactionMark('jwk') });
  expect(redacted({ n: SECRET, d: SECRET })).toEqual({ n: SECRET, d: SECRET });
  const manifest = (kind: string) => ({ kind, data: { a: SECRET }, stringData: { b: SECRET }, metadata: { c: SECRET } });
  expect(redacted(manifest('Secret'))).toEqual({ ...manifest('Secret'), data: { a: secret }, stringData: { b: secret } });
  expect(redacted(manifest('ConfigMap'))).toEqual(manifest('ConfigMap'));
});

test('the first fifty findings have a pointer, with names escaped and cut', () => {
  expect(pointers({ a: [{ 'b/c~d': { password: SECRET } }] })).toEqual(['#/a/0/b~1c~0d/password']);
  expect(pointers({ ['x'.repeat(300)]: { password: SECRET } })).toEqual([`#/${'x'.repeat(200)}/password`]);
  const many = pointers(Array.from({ length: 60 }, () => ({ password: SECRET })));
  expect(many.slice(49, 51)).toEqual(['#/49/password', '']);
  expect(many).toHaveLength(60);
});

test('a secret in a name is redacted, and no member overwrites another', () => {
  const { value, found } = redact({
    a: 1,
    [github]: 2,
    [`${github.slice(0, -1)}X`]: 3,
    [redactionMark('github-token')]: 4,
    z: 5,
  });
  expect(value).toEqual({
    a: 1,
    '[redacted:github-token]': 2,
    '[redacted:github-token] 2': 3,
    '[redacted:github-token] 3': 4,
    z: 5,
  });
  expect(found).toHaveLength(2);
  expect(found[0]).toEqual({ kind: 'github-token', pointer: '#/[redacted:github-token]' });
  // names are cached, separately for other policies
  const mail = { 'ann@corp.com': 1 };
  expect(redacted(mail)).toBe(mail);
  expect(Object.keys(redact(mail, { personal_data: false, contacts: true }).value as object)).toEqual(['[redacted:email]']);
  expect(Object.keys(redact({ '4111111111111111': 1 }, { personal_data: true, contacts: false }).value as object)).toEqual([
    '[redacted:card-number]',
  ]);
  expect(redacted(mail)).toBe(mail);
});

test('a secret that spans several lines is redacted in each of them', () => {
  const [a, b] = [github.slice(0, 20), github.slice(20)];
  const lines = ['before', a, b, 'after words'];
  expect(redacted(lines)).toEqual(['before', redactionMark('github-token'), redactionMark('github-token'), 'after words']);
  expect(pointers(lines)).toEqual(['#/1', '#/2']);
  expect(redacted([`x ${github} y ${github} z`, 'w'])).toEqual([
    `x ${redactionMark('github-token')} y ${redactionMark('github-token')} z`,
    'w',
  ]);
  // a line without a secret is still judged by its name
  expect(redacted({ passwords: ['swordfish', github, 'hunter22'] })).toEqual({
    passwords: [password, redactionMark('github-token'), password],
  });
  expect(redacted(['curl', '-u', `ann:${SECRET}`, '--password', 'swordfish'])).toEqual([
    'curl',
    '-u',
    `ann:${redactionMark('basic-auth')}`,
    '--password',
    password,
  ]);
});
