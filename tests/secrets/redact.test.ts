import { countRedactionMarks, redactionMark, redactJson, redactText } from '../../src/secrets/redact.ts';

// What JSON says of its own values: names, pairs, arguments, keys, manifests.

const SECRET = 'q7Zk3mP9xTvB2nL8';
const classes = { personal_data: false, contacts: false };
const redact = (value: unknown, more = classes) => redactJson(value, more, '#');
const kept = (value: unknown) => redact(value).value;
const pointers = (value: unknown) => redact(value).found.map(({ pointer }) => pointer);
const [password, token, secret] = ['password', 'token', 'secret'].map(redactionMark);
const github = `ghp_${'a8Fk3LmQ9zXw2Vb7Nc5Rt1Yp6Hd4Sg0Jk2Zq'}`;

test('spans are cut out of a text, and marks are counted whoever wrote them', () => {
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

test('what holds no secret is the value that came, and so is each part of it', () => {
  const value = { a: [{ b: 'text' }, ['one', 'two'], 7, null, true], c: { password: SECRET } };
  const { value: cut } = redact(value) as { value: typeof value };
  expect(cut).not.toBe(value);
  expect(cut.a).toBe(value.a);
  expect(kept(value.a)).toBe(value.a);
  expect(value.c.password).toBe(SECRET);
});

test.each<[string, unknown, unknown]>([
  ['a scheme stays', { authorization: `Bearer ${SECRET}` }, { authorization: `Bearer ${token}` }],
  [
    'of a text that is partly a secret the rest stays',
    { password: 'my token=q7Zk3mP9xTvB2nL8 .' },
    { password: `my token=${token} .` },
  ],
  [
    'cookies by their own names',
    { cookie: `theme=dark; sid=${SECRET}` },
    { cookie: `theme=dark; sid=${redactionMark('cookie')}` },
  ],
  ['a number that is a password', { password: 123456 }, { password }],
  ['a negative one', { password: -1000 }, { password }],
  ['a small one', { password: 999 }, { password: 999 }],
  ['no whole one', { password: 1234.5 }, { password: 1234.5 }],
  ['a count of tests', { pass: 1234 }, { pass: 1234 }],
  ['a number under the name of a token', { token: 123456 }, { token: 123456 }],
  ['a value that is one word', ['password', 'swordfish'], ['password', password]],
  ['a list of one', { passwords: ['swordfish'] }, { passwords: [password] }],
  ['an argument behind its name', ['login', '--password', 'swordfish'], ['login', '--password', password]],
  ['an option behind it', ['login', '--password', '--verbose'], ['login', '--password', '--verbose']],
  ['an argument behind a short name', ['x', '-token', SECRET], ['x', '-token', token]],
  ['a header as a pair', ['X-Api-Key', SECRET], ['X-Api-Key', redactionMark('api-key')]],
  ['not the same in three', ['a', 'password', 'swordfish'], ['a', 'password', 'swordfish']],
])('%s', (_, given, cut) => {
  expect(kept(given)).toEqual(cut);
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
])('an object that is named by its %s and valued by its %s', (title, valued) => {
  expect(kept({ [title]: 'DB_PASSWORD', [valued]: 'swordfish' })).toEqual({ [title]: 'DB_PASSWORD', [valued]: password });
  expect(kept({ [title]: 'DB_HOST', [valued]: 'swordfish' })).toEqual({ [title]: 'DB_HOST', [valued]: 'swordfish' });
});

test('a name without a value beside it names nothing; a value has the name of the object around it', () => {
  expect(kept({ name: 'password', data: 'swordfish' })).toEqual({ name: 'password', data: 'swordfish' });
  expect(kept({ password: { value: 'swordfish', since: 'swordfish' } })).toEqual({
    password: { value: password, since: 'swordfish' },
  });
  expect(kept({ password: { eq: 'swordfish', in: ['swordfish', 'hunter22'] } })).toEqual({
    password: { eq: password, in: [password, password] },
  });
});

test('a map of secrets: each member but those that stand beside one', () => {
  expect(kept({ passwords: { alice: 'swordfish', user: 'swordfish', expires_in: 'swordfish' } })).toEqual({
    passwords: { alice: password, user: 'swordfish', expires_in: 'swordfish' },
  });
  expect(kept({ credentials: { main: { token: SECRET, host: 'a.example' } } })).toEqual({
    credentials: { main: { token, host: 'a.example' } },
  });
  expect(kept({ creds: { main: SECRET } })).toEqual({ creds: { main: secret } });
  expect(kept({ secrets: 'none' })).toEqual({ secrets: 'none' });
});

test('a JSON Web Key and a Secret of Kubernetes', () => {
  const key = { kty: 'RSA', n: SECRET, d: SECRET, kid: 'k1' };
  expect(kept(key)).toEqual({ ...key, d: redactionMark('jwk') });
  expect(kept({ n: SECRET, d: SECRET })).toEqual({ n: SECRET, d: SECRET });
  const manifest = (kind: string) => ({ kind, data: { a: SECRET }, stringData: { b: SECRET }, metadata: { c: SECRET } });
  expect(kept(manifest('Secret'))).toEqual({ ...manifest('Secret'), data: { a: secret }, stringData: { b: secret } });
  expect(kept(manifest('ConfigMap'))).toEqual(manifest('ConfigMap'));
});

test('what is found is told by its place, with names escaped and cut, for the first fifty', () => {
  expect(pointers({ a: [{ 'b/c~d': { password: SECRET } }] })).toEqual(['#/a/0/b~1c~0d/password']);
  expect(pointers({ ['x'.repeat(300)]: { password: SECRET } })).toEqual([`#/${'x'.repeat(200)}/password`]);
  const many = pointers(Array.from({ length: 60 }, () => ({ password: SECRET })));
  expect(many.slice(49, 51)).toEqual(['#/49/password', '']);
  expect(many).toHaveLength(60);
});

test('a secret in a name is cut there too, and no member is lost to another', () => {
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
  // names are remembered for a while, those of another policy apart
  const mail = { 'ann@corp.com': 1 };
  expect(kept(mail)).toBe(mail);
  expect(Object.keys(redact(mail, { personal_data: false, contacts: true }).value as object)).toEqual(['[redacted:email]']);
  expect(Object.keys(redact({ '4111111111111111': 1 }, { personal_data: true, contacts: false }).value as object)).toEqual([
    '[redacted:card-number]',
  ]);
  expect(kept(mail)).toBe(mail);
});

test('what goes on over lines is cut out of each of them', () => {
  const [a, b] = [github.slice(0, 20), github.slice(20)];
  const lines = ['before', a, b, 'after words'];
  expect(kept(lines)).toEqual(['before', redactionMark('github-token'), redactionMark('github-token'), 'after words']);
  expect(pointers(lines)).toEqual(['#/1', '#/2']);
  expect(kept([`x ${github} y ${github} z`, 'w'])).toEqual([
    `x ${redactionMark('github-token')} y ${redactionMark('github-token')} z`,
    'w',
  ]);
  // a line that holds none is read by its name still
  expect(kept({ passwords: ['swordfish', github, 'hunter22'] })).toEqual({
    passwords: [password, redactionMark('github-token'), password],
  });
  expect(kept(['curl', '-u', `ann:${SECRET}`, '--password', 'swordfish'])).toEqual([
    'curl',
    '-u',
    `ann:${redactionMark('basic-auth')}`,
    '--password',
    password,
  ]);
});
