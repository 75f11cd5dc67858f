import type { ZodType } from 'zod';
import {
  inviteBody,
  keyBody,
  listQuery,
  loginBody,
  registerBody,
  sessionQuery,
  tenantId,
  userPatch,
} from '../../src/auth/schemas.ts';

const accepts = (schema: ZodType, value: unknown) => schema.safeParse(value).success;
const register = (more: object) => ({ username: 'ann', password: 'correct horse battery', tenant_id: 'acme', ...more });
const keyOf = (more: object) => ({ name: 'ci', role: 'member', scopes: ['read'], ...more });

test.each<[string, ZodType, (n: number) => unknown, number, number]>([
  ['a tenant id', tenantId, (n) => 'a'.repeat(n), 1, 63],
  ['a username', registerBody, (n) => register({ username: 'a'.repeat(n) }), 1, 64],
  ['a password', loginBody, (n) => ({ username: 'ann', password: 'a'.repeat(n), tenant_id: 'acme' }), 1, 1024],
  ['an invite', registerBody, (n) => register({ invite: 'a'.repeat(n) }), 1, 4096],
  ['the username of a login', loginBody, (n) => ({ username: 'a'.repeat(n), password: 'x', tenant_id: 'acme' }), 1, 255],
  ['the tenant of a login', loginBody, (n) => ({ username: 'ann', password: 'x', tenant_id: 'a'.repeat(n) }), 1, 255],
  ['a session id', sessionQuery, (n) => ({ id: 'a'.repeat(n) }), 1, 64],
  ['the size of a page', listQuery, (limit) => ({ limit }), 1, 1000],
  ['the lifetime of an invite', inviteBody, (expires_in) => ({ role: 'member', expires_in }), 60, 7 * 86_400],
  ['the name of a key', keyBody, (n) => keyOf({ name: 'a'.repeat(n) }), 1, 200],
  ['the scopes of a key', keyBody, (n) => keyOf({ scopes: Array(n).fill('read') }), 1, 3],
  ['the channels of a key', keyBody, (n) => keyOf({ channels: Array(n).fill('team') }), 1, 4],
  ['the rate limit of a key', keyBody, (max) => keyOf({ rate_limit: { max, window_ms: 1000 } }), 1, 100_000_000],
  ['the window of a rate limit', keyBody, (window_ms) => keyOf({ rate_limit: { max: 1, window_ms } }), 1000, 86_400_000],
])('%s has a minimum and a maximum', (_, schema, make, min, max) => {
  expect([min - 1, min, max, max + 1].map((n) => accepts(schema, make(n)))).toEqual([false, true, true, false]);
});

test('a cursor and an e-mail address have a maximum length', () => {
  expect([1000, 1001].map((n) => accepts(listQuery, { cursor: 'a'.repeat(n) }))).toEqual([true, false]);
  const mail = (n: number) => `${'a'.repeat(n - '@b.example'.length)}@b.example`;
  expect([254, 255].map((n) => accepts(registerBody, register({ email: mail(n) })))).toEqual([true, false]);
});

test('omitted fields have defaults', () => {
  expect(listQuery.parse({})).toEqual({ limit: 50 });
  expect(inviteBody.parse({ role: 'member' })).toEqual({ role: 'member', expires_in: 3 * 86_400 });
});

test('duplicate scopes and channels are removed', () => {
  expect(keyBody.parse(keyOf({ scopes: ['read', 'read'], channels: ['team', 'public', 'team'] }))).toEqual({
    ...keyOf({ scopes: ['read'], channels: ['team', 'public'] }),
    signed: false,
  });
});

test('an empty change of a user is rejected', () => {
  expect(
    [{}, { role: 'member' }, { disabled: false }, { role: 'member', disabled: true }].map((one) => accepts(userPatch, one)),
  ).toEqual([false, true, true, true]);
});
