import { assertGrantable, assertNotAbove, assertPerson, type Grant, scopesWithin } from '../../src/auth/grants.ts';
import type { Principal } from '../../src/auth/principal.ts';
import { admin, key, keyForAll, person, refusalOf } from './principals.ts';

const grant = (more: Partial<Grant> = {}): Grant => ({
  role: 'member',
  scopes: ['read'],
  user_id: 'ann',
  channels: null,
  expires_at: null,
  agent_id: null,
  rate_limit: null,
  ...more,
});
const refused = (creator: Principal, more: Partial<Grant> = {}) => refusalOf(() => assertGrantable(creator, grant(more)));

test.each([
  ['reader', ['read']],
  ['member', ['read', 'write']],
  ['admin', ['read', 'write', 'admin']],
  ['owner', ['read', 'write', 'admin']],
] as const)('a %s may at most have the scopes %j', (role, scopes) => {
  expect(scopesWithin(role)).toEqual(scopes);
});

test('a scope that the role cannot have is a validation error for any creator', () => {
  const owner = admin({ role: 'owner' });
  expect(refused(owner, { role: 'reader', scopes: ['read', 'write'] })).toMatchObject({ status: 422, at: ['#/scopes'] });
  expect(refused(owner, { role: 'member', scopes: ['admin'] })).toMatchObject({ status: 422, at: ['#/scopes'] });
  expect(refused(owner, { role: 'admin', scopes: ['admin'] })).toBeUndefined();
});

const hour = '2026-01-01T01:00:00.000Z';
const later = '2026-01-01T02:00:00.000Z';
const shared = { channels: ['team', 'public'] } as Partial<Principal>;

test.each<[string, Principal, Partial<Grant>]>([
  ['a reader as its creator', person({ role: 'reader', scopes: ['read'] }), { role: 'reader' }],
  ['a higher role', person(), { role: 'admin' }],
  ['a scope that its creator lacks', key({ scopes: ['read'] }), { scopes: ['read', 'write'] }],
  ['another subject than the member who creates it', person(), { user_id: 'bob' }],
  ['another subject than the admin key that creates it', admin({ kind: 'key' }), { user_id: 'bob' }],
  ['all subjects if a member creates it', person(), { user_id: '*' }],
  ['all channels if its creator may use only some', key(shared), {}],
  ['a channel that its creator lacks', key(shared), { channels: ['team', 'private'] }],
  ['another agent', key({ agent_id: 'indexer' }), { agent_id: 'planner' }],
  ['no agent if its creator acts as one', key({ agent_id: 'indexer' }), {}],
  ['its own rate limit if a member creates it', person(), { rate_limit: { max: 1, window_ms: 1000 } }],
  ['a later expiry than its creator', key({ expires_at: hour }), { expires_at: later }],
  ['no expiry if its creator has one', key({ expires_at: hour }), {}],
])('a key cannot have %s', (_, creator, more) => {
  expect(refused(creator, more)).toMatchObject({ status: 403 });
});

test.each<[string, Principal, Partial<Grant>]>([
  ['the role and scopes of its creator', person(), { scopes: ['read', 'write'] }],
  ['a lower role', admin(), { role: 'reader', user_id: 'ann' }],
  ['another subject if a logged-in admin creates it', admin(), { user_id: 'bob' }],
  ['another subject if a key for all subjects creates it', keyForAll(), { user_id: 'bob' }],
  ['some channels if its creator may use all', person(), { channels: ['private'] }],
  ['some channels of its creator', key(shared), { channels: ['team'] }],
  ['an agent if its creator is not bound to one', person(), { agent_id: 'planner' }],
  ['the agent of its creator', key({ agent_id: 'indexer' }), { agent_id: 'indexer' }],
  ['its own rate limit if an admin creates it', admin(), { rate_limit: { max: 1, window_ms: 1000 } }],
  ['the same expiry as its creator', key({ expires_at: hour }), { expires_at: hour }],
  ['a later expiry than the access token of its creator', person({ expires_at: hour }), { expires_at: later }],
  ['no expiry if its creator has none', key(), {}],
])('a key can have %s', (_, creator, more) => {
  expect(refused(creator, more)).toBeUndefined();
});

test('only users create users, and none above their own role', () => {
  expect(refusalOf(() => assertPerson(person()))).toBeUndefined();
  expect(refusalOf(() => assertPerson(admin({ kind: 'key' })))).toMatchObject({ status: 403 });
  expect(refusalOf(() => assertNotAbove(admin(), 'admin'))).toBeUndefined();
  expect(refusalOf(() => assertNotAbove(admin(), 'owner'))).toMatchObject({ status: 403 });
});
