import { createHmac, randomBytes } from 'node:crypto';
import { capabilityKeysOf } from '../../src/capabilities/keys.ts';
import { type Claims, claimedIn, hasForm, MAX_LIFETIME_S, signClaims, verifyToken } from '../../src/capabilities/token.ts';

const key = randomBytes(32);
const NOW_S = 1_800_000_000;
const claims: Claims = {
  ten: 'acme',
  jti: 'jti_01m7zc9e8mzz664vjfj0emse1r',
  sub: 'usr_01m7zc9e8mzz664vjfj0emse1r',
  ns: 'agent://demo',
  ops: ['GET'],
  iat: NOW_S - 10,
  exp: NOW_S + 10,
};
const accepted = new Map([['active', key]]);
const verify = (text: string, now_s = NOW_S) => verifyToken(text, accepted, now_s)?.claims;

/** Signs any payload with the real key, as somebody who has the key could. */
function signAny(payload: unknown, by = key, kid = 'active'): string {
  const bytes = Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload));
  return `${kid}.${bytes.toString('base64url')}.${createHmac('sha256', by).update(bytes).digest('base64url')}`;
}

test('a capability is kid.payload.HMAC-SHA256 of the payload, and verifies to its claims', () => {
  const { text, digest } = signClaims(claims, { kid: 'active', key });
  expect(text).toBe(signAny(claims));
  expect(verifyToken(text, accepted, NOW_S)).toEqual({ claims, digest });
  expect([hasForm(text), claimedIn(text)]).toEqual([true, { tenant_id: 'acme', id: claims.jti }]);
});

const without = (name: keyof Claims) => Object.fromEntries(Object.entries(claims).filter(([each]) => each !== name));

test.each(['ten', 'jti', 'sub', 'ns', 'ops', 'iat', 'exp'] as const)('without %s it is invalid', (name) => {
  expect(verify(signAny(without(name)))).toBeUndefined();
});

test.each([
  ['ns', 1],
  ['ns', []],
  ['ns', [1]],
  ['ns', ''],
  ['ns', null],
  ['ns', {}],
  ['ops', 'GET'],
  ['ops', []],
  ['ops', ['get']],
  ['ops', ['GET', 'POST']],
  ['ops', [['GET']]],
  ['ten', 5],
  ['ten', 'a/b'],
  ['jti', 'cap_1'],
  ['sub', 'alice'],
  ['iat', String(NOW_S)],
  ['exp', String(NOW_S + 10)],
  ['exp', NOW_S + 0.5],
  ['exp', null],
  ['exp', true],
  ['regions', 'us-west-2'],
  ['regions', []],
  ['regions', [7]],
  ['max_bytes', '100'],
  ['max_bytes', 0],
  ['max_bytes', -1],
  ['max_qps', '1'],
  ['max_qps', 0],
  ['max_qps', 0.5],
  ['agent', 5],
  ['agent', ''],
  ['verbs', ['put']],
])('with %s %j it is invalid', (name, value) => {
  expect(verify(signAny({ ...claims, [name]: value }))).toBeUndefined();
});

test('an array of namespaces and every restriction are accepted', () => {
  const full: Claims = { ...claims, ns: ['a', 'b/*'], regions: ['us-west-2'], max_bytes: 100, max_qps: 5, agent: 'planner' };
  expect(verify(signAny(full))).toEqual(full);
});

test('it is valid until it expires, also by a clock that is a minute behind', () => {
  const text = signAny(claims);
  const at = [claims.iat - 61, claims.iat - 60, claims.exp - 1, claims.exp, claims.exp + 1];
  expect(at.map((now_s) => verify(text, now_s) !== undefined)).toEqual([false, true, true, false, false]);
});

test('a lifetime of more than 366 days, or none, is invalid', () => {
  const lasting = (seconds: number) => verify(signAny({ ...claims, exp: claims.iat + seconds }), claims.iat) !== undefined;
  expect([lasting(MAX_LIFETIME_S), lasting(MAX_LIFETIME_S + 1), lasting(0), lasting(-1)]).toEqual([true, false, false, false]);
});

test('the smallest and largest values of each restriction are accepted, and nothing beyond', () => {
  const isAccepted = (more: object) => verify(signAny({ ...claims, ...more })) !== undefined;
  const accepted = [{ max_qps: 1 }, { max_bytes: 1 }, { max_bytes: 2 ** 40 }, { regions: ['r'] }, { regions: ['r'.repeat(64)] }];
  const refused = [{ max_qps: 100_001 }, { max_bytes: 2 ** 40 + 1 }, { regions: [''] }, { regions: ['r'.repeat(65)] }];
  expect([accepted.map(isAccepted), refused.map(isAccepted)]).toEqual([accepted.map(() => true), refused.map(() => false)]);
});

test('the id of a key has 1 to 32 characters', () => {
  expect(['', 'k', 'k'.repeat(32), 'k'.repeat(33)].map((kid) => hasForm(signAny(claims, key, kid)))).toEqual([
    false,
    true,
    true,
    false,
  ]);
});

test('a text that is longer than any capability claims nothing', () => {
  const long = signAny({ ...claims, pad: 'x'.repeat(8192) });
  expect([hasForm(long), claimedIn(long), claimedIn('active'), claimedIn(signAny('[]'))]).toEqual([
    true,
    undefined,
    undefined,
    undefined,
  ]);
});

test('each changed character makes it invalid', () => {
  const text = signAny(claims);
  const changed = [...text].map((char, i) => `${text.slice(0, i)}${char === 'A' ? 'B' : 'A'}${text.slice(i + 1)}`);
  expect(changed.filter((each) => verify(each) !== undefined)).toEqual([]);
});

test('another key, another kid, another form and other encodings are invalid', () => {
  const text = signAny(claims);
  const [kid, payload, mac] = text.split('.') as [string, string, string];
  const spaced = Buffer.concat([Buffer.from(JSON.stringify(claims)), Buffer.from(' ')]);
  const forged = [
    signAny(claims, randomBytes(32)),
    signAny(claims, key, 'next'),
    `${kid}.${payload}.${mac}.`,
    `${kid}.${payload}.${mac}.x`,
    `${kid}.v1.${payload}.${mac}`,
    `${payload}.${mac}`,
    `${kid}.${payload}`,
    `${kid}.${payload}.`,
    `${kid}..${mac}`,
    `.${payload}.${mac}`,
    `${kid}.${payload}=.${mac}`,
    `${kid}.${spaced.toString('base64')}.${mac}`,
    `ACTIVE.${payload}.${mac}`,
    ` ${text}`,
    `${text}\n`,
    signAny('null'),
    signAny('[]'),
    signAny('not JSON'),
    signAny(JSON.stringify({ ...claims, regions: Array.from({ length: 40 }, () => 'r'.repeat(60)), pad: 'x'.repeat(9000) })),
  ];
  expect(forged.filter((each) => verify(each) !== undefined)).toEqual([]);
  expect(verify(text)).toEqual(claims);
});

test('an access token and a key do not have the form of a capability', () => {
  const jwt = `${Buffer.from('{"alg":"HS256"}').toString('base64url')}.${Buffer.from('{}').toString('base64url')}.${'x'.repeat(43)}`;
  expect([hasForm(jwt), hasForm('amk_acme.abc.def')]).toEqual([false, false]);
});

test('both keys verify', () => {
  const [active, next] = [randomBytes(32), randomBytes(32)].map((bytes) => bytes.toString('base64'));
  const settings = { NODE_ENV: 'production' as const, DATA_DIR: '/nonexistent', CAP_KEY_ACTIVE_ID: 'a', CAP_KEY_NEXT_ID: 'n' };
  const keys = (more: object) => capabilityKeysOf({ ...settings, CAP_KEY_ACTIVE: undefined, CAP_KEY_NEXT: undefined, ...more });
  const summary = (more: object) => [keys(more)!.next?.kid, [...keys(more)!.accepted.keys()]];
  expect(keys({})).toBeUndefined();
  expect(summary({ CAP_KEY_ACTIVE: active })).toEqual([undefined, ['a']]);
  expect(summary({ CAP_KEY_ACTIVE: active, CAP_KEY_NEXT: next })).toEqual(['n', ['a', 'n']]);
});
