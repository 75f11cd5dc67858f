import { createHash, createSecretKey } from 'node:crypto';
import jwt from 'jsonwebtoken';
import { claimedIdentityIn, openTokens, type TokenSettings } from '../../src/auth/tokens.ts';

const SECRET = 'active-0123456789abcdefghijklmnopqrstuvw';
const NEXT = 'next-0123456789abcdefghijklmnopqrstuvwxy';
const PREVIOUS = 'previous-0123456789abcdefghijklmnopqrstu';
const DAY_S = 86_400;
const NOW = Date.UTC(2026, 0, 1) / 1000;

beforeEach(() => jest.useFakeTimers({ doNotFake: ['performance'], now: NOW * 1000 }));
afterEach(() => jest.useRealTimers());

const settings: TokenSettings = { active: SECRET, next: NEXT, previous: PREVIOUS, issuer: 'i', audience: 'a', lifetime_s: 60 };
const own = { sub: `usr_${'0'.repeat(26)}`, tid: 'acme', role: 'member', sid: `ses_${'0'.repeat(26)}`, ver: 1 } as const;
const whole = { ...own, iss: 'i', aud: 'a', jti: `jti_${'0'.repeat(26)}`, iat: NOW, exp: NOW + 60 };

/** Signs claims with our key. */
function signed(over: Record<string, unknown>, header: Record<string, unknown> = {}, secret = SECRET): string {
  const kid = createHash('sha256').update(`agent-memory kid\n${secret}`).digest('base64url').slice(0, 12);
  const claims = Object.fromEntries(Object.entries({ ...whole, ...over }).filter(([, value]) => value !== undefined));
  return jwt.sign(claims, createSecretKey(Buffer.from(secret)), {
    header: { alg: 'HS256', typ: 'at+jwt', kid, ...header },
    noTimestamp: !('iat' in claims),
  });
}
const verify = (token: string, more: Partial<TokenSettings> = {}) => openTokens({ ...settings, ...more }).verify(token);

test('a signed token is verified until it expires', () => {
  const tokens = openTokens(settings);
  const token = tokens.sign(own);
  const claims = { ...own, iss: 'i', aud: 'a', iat: NOW, exp: NOW + 60, jti: expect.stringMatching(/^jti_[0-9a-z]{26}$/) };
  expect(tokens.verify(token)).toEqual(claims);
  // from the cache
  expect(tokens.verify(token)).toEqual(claims);
  expect(openTokens(settings).verify(token)).toEqual(claims);
  jest.setSystemTime((NOW + 59) * 1000);
  expect(tokens.verify(token)).toEqual(claims);
  jest.setSystemTime((NOW + 60) * 1000);
  expect(tokens.verify(token)).toBeUndefined();
  expect(openTokens(settings).verify(token)).toBeUndefined();
});

test('tokens of the active, next and previous key are accepted, others are not', () => {
  for (const secret of [SECRET, NEXT, PREVIOUS]) expect(verify(signed({}, {}, secret))).toMatchObject(own);
  expect(verify(signed({}, {}, PREVIOUS), { previous: undefined })).toBeUndefined();
  expect(verify(signed({}, {}, NEXT), { next: undefined })).toBeUndefined();
});

test.each<[string, Record<string, unknown>, boolean]>([
  ['issued up to 30 s in the future', { iat: NOW + 30, exp: NOW + 60 }, true],
  ['issued further in the future', { iat: NOW + 31, exp: NOW + 60 }, false],
  // from a daemon that still has a longer lifetime configured
  ['with a lifetime of a day', { exp: NOW + DAY_S }, true],
  ['with a longer lifetime', { exp: NOW + DAY_S + 1 }, false],
  ['that expires when it is issued', { iat: NOW + 20, exp: NOW + 20 }, false],
  ['without exp', { exp: undefined }, false],
  ['without iat', { iat: undefined }, false],
  ['of another issuer', { iss: 'x' }, false],
  ['for another audience', { aud: 'x' }, false],
  ['of version 0', { ver: 0 }, false],
  ['with an additional claim', { admin: true }, false],
])('a token %s gets the expected result', (_, over, accepted) => {
  expect(verify(signed(over)) !== undefined).toBe(accepted);
});

test('a lifetime above one day is accepted if it is configured', () => {
  expect(verify(signed({ exp: NOW + 2 * DAY_S }), { lifetime_s: 2 * DAY_S })).toBeDefined();
});

test.each<[string, Record<string, unknown>]>([
  ['another type', { typ: 'JWT' }],
  ['an additional field', { crit: ['x'] }],
])('a header with %s is rejected', (_, header) => {
  expect(verify(signed({}, header))).toBeUndefined();
});

test('the claimed identity is read without verification, up to the maximum length', () => {
  const token = signed({}, {}, 'someone-else-0123456789abcdefghijklmnop');
  expect(claimedIdentityIn(token)).toEqual({ tenant_id: 'acme', id: own.sid });
  expect(claimedIdentityIn('no token')).toBeUndefined();
  expect(claimedIdentityIn(signed({ tid: '../x' }))).toBeUndefined();
  const long = signed({ more: 'x'.repeat(4096) });
  expect(claimedIdentityIn(long)).toBeUndefined();
  const upTo = (bytes: number) => {
    let filler = bytes;
    while (signed({ more: 'x'.repeat(filler) }).length > bytes) filler -= 1;
    return signed({ more: 'x'.repeat(filler) });
  };
  expect(claimedIdentityIn(upTo(4096))).toEqual({ tenant_id: 'acme', id: own.sid });
});
