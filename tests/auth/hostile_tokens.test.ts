import { createHash, createHmac, generateKeyPairSync } from 'node:crypto';
import { get } from 'node:http';
import jwt from 'jsonwebtoken';
import { openTokens } from '../../src/auth/tokens.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { type Call, clientOf, makeOwner, makeUser } from './client.ts';

const SECRET = 'active-0123456789abcdefghijklmnopqrstuvw';
const NEXT = 'next-0123456789abcdefghijklmnopqrstuvwxy';
const PREVIOUS = 'previous-0123456789abcdefghijklmnopqrstu';
const kidOf = (secret: string) => createHash('sha256').update(`agent-memory kid\n${secret}`).digest('base64url').slice(0, 12);
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const now = () => Math.floor(Date.now() / 1000);

let daemon: TestDaemon;
let call: Call;
let good: string;
let other: { token: string; tenant_id: string };
beforeAll(async () => {
  daemon = await startTestDaemon({ JWT_SECRET: SECRET, JWT_SECRET_NEXT: NEXT, JWT_SECRET_PREVIOUS: PREVIOUS });
  call = clientOf(daemon.url);
  good = (await makeOwner(call)).token;
  other = await makeOwner(call);
});
afterAll(() => daemon.stop());

type Json = Record<string, unknown>;
const part = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const claimsOf = (token: string): Json => JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString());
const HEADER = { alg: 'HS256', typ: 'at+jwt', kid: kidOf(SECRET) };

/** Signs arbitrary claims with our key. */
function forge(
  claims: Json | string,
  header: Json | string = HEADER,
  secret: string | Buffer = SECRET,
  algorithm = 'sha256',
): string {
  const text = `${part(header)}.${part(claims)}`;
  return `${text}.${createHmac(algorithm, secret).update(text).digest('base64url')}`;
}
const withClaims = (over: Json) => forge({ ...claimsOf(good), ...over });
const without = (name: string) => {
  const { [name]: _, ...rest } = claimsOf(good);
  return forge(rest);
};
const withHeader = (over: Json) => forge(claimsOf(good), { ...HEADER, ...over });
const pieces = () => good.split('.') as [string, string, string];
const otherBy = (claim: string) => claimsOf(other.token)[claim];

const hostile: [string, () => string][] = [
  ['alg none, unsigned', () => `${part({ ...HEADER, alg: 'none' })}.${pieces()[1]}.`],
  ['alg none without the dot', () => `${part({ ...HEADER, alg: 'none' })}.${pieces()[1]}`],
  ['alg None', () => `${part({ ...HEADER, alg: 'None' })}.${pieces()[1]}.`],
  ['alg NONE', () => `${part({ ...HEADER, alg: 'NONE' })}.${pieces()[1]}.`],
  ['alg nOnE, signed', () => withHeader({ alg: 'nOnE' })],
  ['alg absent', () => forge(claimsOf(good), { typ: 'at+jwt', kid: HEADER.kid })],
  ['alg HS384', () => forge(claimsOf(good), { ...HEADER, alg: 'HS384' }, SECRET, 'sha384')],
  ['alg HS512', () => forge(claimsOf(good), { ...HEADER, alg: 'HS512' }, SECRET, 'sha512')],
  ['alg hs256', () => withHeader({ alg: 'hs256' })],
  ['alg as an array', () => withHeader({ alg: ['HS256'] })],
  ['alg RS256', () => jwt.sign(claimsOf(good), rsa.privateKey, { algorithm: 'RS256', header: { ...HEADER, alg: 'RS256' } })],
  ['alg PS256', () => jwt.sign(claimsOf(good), rsa.privateKey, { algorithm: 'PS256', header: { ...HEADER, alg: 'PS256' } })],
  ['alg ES256', () => jwt.sign(claimsOf(good), ec.privateKey, { algorithm: 'ES256', header: { ...HEADER, alg: 'ES256' } })],
  [
    'a public key as the secret',
    () => forge(claimsOf(good), HEADER, rsa.publicKey.export({ type: 'spki', format: 'pem' }) as string),
  ],
  ['an empty signature', () => `${pieces()[0]}.${pieces()[1]}.`],
  ['no signature', () => `${pieces()[0]}.${pieces()[1]}`],
  ['a truncated signature', () => good.slice(0, -1)],
  ['an extended signature', () => `${good}A`],
  ['another last character of the signature', () => good.slice(0, -1) + (good.endsWith('A') ? 'B' : 'A')],
  ['another spelling of the same signature', () => `${good}=`],
  ['a detached payload', () => `${pieces()[0]}..${pieces()[2]}`],
  ['four parts', () => `${good}.x`],
  ['five parts, as encrypted tokens have', () => `${part({ alg: 'dir', enc: 'A256GCM' })}..AAAA.AAAA.AAAA`],
  ['only dots', () => '..'],
  [
    'changed claims under the old signature',
    () => `${pieces()[0]}.${part({ ...claimsOf(good), role: 'owner', tid: 'other' })}.${pieces()[2]}`,
  ],
  ['a wrong key', () => forge(claimsOf(good), HEADER, 'wrong-0123456789abcdefghijklmnopqrstuvwxy')],
  ['an empty key', () => forge(claimsOf(good), HEADER, '')],
  ['the next key under the active kid', () => forge(claimsOf(good), HEADER, NEXT)],
  ['kid unknown', () => withHeader({ kid: 'unknown' })],
  ['kid a path', () => withHeader({ kid: '../../etc/passwd' })],
  ['kid /dev/null with an empty key', () => forge(claimsOf(good), { ...HEADER, kid: '/dev/null' }, '')],
  ['kid SQL', () => withHeader({ kid: "' or 1=1 --" })],
  ['kid an array', () => withHeader({ kid: [HEADER.kid] })],
  ['kid a number', () => withHeader({ kid: 1 })],
  ['kid of 10 kB', () => withHeader({ kid: 'k'.repeat(10_000) })],
  ['kid missing', () => forge(claimsOf(good), { alg: 'HS256', typ: 'at+jwt' })],
  ['kid __proto__', () => forge(claimsOf(good), `{"alg":"HS256","typ":"at+jwt","kid":"__proto__"}`)],
  ['jku', () => withHeader({ jku: 'https://evil.example/keys' })],
  ['x5u', () => withHeader({ x5u: 'https://evil.example/cert' })],
  ['x5c', () => withHeader({ x5c: ['AAAA'] })],
  ['jwk', () => withHeader({ jwk: { kty: 'oct', k: part(SECRET) } })],
  ['crit', () => withHeader({ crit: ['exp'] })],
  ['crit unknown', () => withHeader({ crit: ['b64'], b64: false })],
  ['zip', () => withHeader({ zip: 'DEF' })],
  ['typ JWT', () => withHeader({ typ: 'JWT' })],
  ['typ of a capability', () => withHeader({ typ: 'cap+jwt' })],
  ['typ of a refresh token', () => withHeader({ typ: 'rt+jwt' })],
  ['typ missing', () => forge(claimsOf(good), { alg: 'HS256', kid: HEADER.kid })],
  ['a header that is not JSON', () => forge(claimsOf(good), '{nonsense')],
  ['a header that is null', () => forge(claimsOf(good), 'null')],
  ['claims that are not JSON', () => forge('{nonsense')],
  ['claims that are a list', () => forge('[]')],
  ['claims that are a string', () => forge('"x"')],
  ['exp missing', () => without('exp')],
  ['exp past', () => withClaims({ iat: now() - 100, exp: now() - 10 })],
  ['exp a string', () => withClaims({ exp: String(now() + 100) })],
  ['exp a fraction', () => withClaims({ exp: now() + 100.5 })],
  ['exp 1e308', () => forge(JSON.stringify(claimsOf(good)).replace(/"exp":\d+/, '"exp":1e308'))],
  ['exp negative', () => withClaims({ exp: -1 })],
  ['exp null', () => withClaims({ exp: null })],
  ['exp in the year 9999', () => withClaims({ exp: 253_402_300_799 })],
  ['exp a day and an hour after iat', () => withClaims({ exp: (claimsOf(good).iat as number) + 90_000 })],
  ['iat missing', () => without('iat')],
  ['iat in the future', () => withClaims({ iat: now() + 3600, exp: now() + 7200 })],
  ['iat a string', () => withClaims({ iat: String(now()) })],
  ['nbf in the future', () => withClaims({ nbf: now() + 3600 })],
  ['iss wrong', () => withClaims({ iss: 'agent-memory' })],
  ['iss a list with ours in it', () => withClaims({ iss: ['agent-memory-system'] })],
  ['iss missing', () => without('iss')],
  ['aud wrong', () => withClaims({ aud: 'another-api' })],
  ['aud a beginning of ours', () => withClaims({ aud: 'agent-memory' })],
  ['aud longer than ours', () => withClaims({ aud: 'agent-memory-api-x' })],
  ['aud a list with ours in it', () => withClaims({ aud: ['agent-memory-api', 'x'] })],
  ['aud missing', () => without('aud')],
  ['tid missing', () => without('tid')],
  ['tid a list', () => withClaims({ tid: [claimsOf(good).tid] })],
  ['tid an object', () => withClaims({ tid: { id: claimsOf(good).tid } })],
  ['tid empty', () => withClaims({ tid: '' })],
  ['tid another tenant, signed anew', () => withClaims({ tid: otherBy('tid') })],
  ['tid in upper case', () => withClaims({ tid: String(claimsOf(good).tid).toUpperCase() })],
  ['tid with a homoglyph', () => withClaims({ tid: String(claimsOf(good).tid).replace('t', 'т') })],
  ['tid SQL', () => withClaims({ tid: "x' or '1'='1" })],
  ['sub missing', () => without('sub')],
  ['sub of an unknown user', () => withClaims({ sub: `usr_${'0'.repeat(26)}` })],
  ['sub of another tenant', () => withClaims({ sub: otherBy('sub') })],
  ['sub a list', () => withClaims({ sub: [claimsOf(good).sub] })],
  ['sid missing', () => without('sid')],
  ['sid of an unknown session', () => withClaims({ sid: `ses_${'0'.repeat(26)}` })],
  ['sid of another tenant', () => withClaims({ sid: otherBy('sid') })],
  ['another tenant and its session, with the user of this one', () => withClaims({ tid: otherBy('tid'), sid: otherBy('sid') })],
  ['role unknown', () => withClaims({ role: 'root' })],
  ['role a list', () => withClaims({ role: ['owner'] })],
  ['ver ahead of the user', () => withClaims({ ver: 2 })],
  ['ver old', () => withClaims({ ver: 0 })],
  ['ver a string', () => withClaims({ ver: '1' })],
  ['jti missing', () => without('jti')],
  ['an additional claim', () => withClaims({ admin: true })],
  [
    'two tenants in one object, ours first',
    () => forge(JSON.stringify(claimsOf(good)).replace('}', `,"tid":"${otherBy('tid')}"}`)),
  ],
  ['over 4 kB', () => withClaims({ sub: 'x'.repeat(8_000) })],
  ['an unknown API key', () => `amk.${claimsOf(good).tid}.key_${'0'.repeat(26)}.${'a'.repeat(43)}`],
  ['an API key without a secret', () => `amk.${claimsOf(good).tid}.key_${'0'.repeat(26)}.`],
  ['an empty string', () => ''],
];

test('there are at least sixty hostile tokens', () => expect(hostile.length).toBeGreaterThanOrEqual(60));

test('the token that they are derived from is valid', async () => {
  expect((await call('GET', '/auth/me', { token: good })).status).toBe(200);
  expect((await call('GET', '/auth/me', { token: forge(claimsOf(good)) })).status).toBe(200);
});

test.each(hostile)('a token with %s returns 401', async (_, make) => {
  const { status, headers, body } = await call('GET', '/auth/me', { token: make() });
  expect(status).toBe(401);
  expect(headers.get('www-authenticate')).toMatch(/^Bearer/);
  expect(body.title).toBe('A valid credential is required');
});

const request = (headers: Record<string, string | string[]>, path = '/auth/me') =>
  new Promise<number>((resolve, reject) => {
    get(daemon.url + path, { headers }, (res) => {
      res.resume();
      resolve(res.statusCode!);
    }).on('error', reject);
  });

test.each<[string, () => Promise<number>, number]>([
  ['two Authorization headers', () => request({ authorization: [`Bearer ${good}`, `Bearer ${good}`] }), 400],
  ['a token beside an API key', () => request({ authorization: `Bearer ${good}`, 'x-api-key': 'amk.x' }), 401],
  ['another scheme', () => request({ authorization: `Basic ${good}` }), 401],
  ['no scheme', () => request({ authorization: good }), 401],
  ['a token as an API key', () => request({ 'x-api-key': good }), 401],
  ['a token in the query', () => request({}, `/auth/me?access_token=${encodeURIComponent('x')}`), 401],
  ['bytes beyond ASCII', () => request({ authorization: `Bearer ${good}é` }), 401],
  ['two tokens in one header', () => request({ authorization: `Bearer ${good}, Bearer ${good}` }), 401],
  ['the scheme in lower case', () => request({ authorization: `bearer ${good}` }), 200],
])('%s gets the expected status', async (_, send, status) => expect(await send()).toBe(status));

test('the role claim of a token grants nothing', async () => {
  const owner = await makeOwner(call);
  const member = await makeUser(call, owner, 'member', 'mia');
  const token = forge({ ...claimsOf(member.token), role: 'owner' });
  expect((await call('GET', '/auth/me', { token })).body.role).toBe('member');
  expect((await call('GET', '/auth/users', { token })).status).toBe(403);
});

test('tokens signed with the next or the previous key are accepted, so a key rotation rejects no request', async () => {
  for (const secret of [NEXT, PREVIOUS])
    expect(
      (await call('GET', '/auth/me', { token: forge(claimsOf(good), { ...HEADER, kid: kidOf(secret) }, secret) })).status,
    ).toBe(200);
});

test('a token expires even if its verification was cached', () => {
  jest.useFakeTimers({ now: Date.now() });
  const tokens = openTokens({ active: SECRET, issuer: 'i', audience: 'a', lifetime_s: 60 });
  const token = tokens.sign({
    sub: `usr_${'0'.repeat(26)}`,
    tid: 't',
    role: 'member',
    sid: `ses_${'0'.repeat(26)}`,
    ver: 1,
  });
  expect(tokens.verify(token)).toMatchObject({ tid: 't' });
  jest.setSystemTime(Date.now() + 61_000);
  expect(tokens.verify(token)).toBeUndefined();
  jest.useRealTimers();
});
