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
  ['a reader makes none', person({ role: 'reader', scopes: ['read'] }), { role: 'reader' }],
  ['a higher role', person(), { role: 'admin' }],
  ['a scope that the maker lacks', key({ scopes: ['read'] }), { scopes: ['read', 'write'] }],
  ['another subject, by a member', person(), { user_id: 'bob' }],
  ['another subject, by a key of an admin', admin({ kind: 'key' }), { user_id: 'bob' }],
  ['all subjects, by a member', person(), { user_id: '*' }],
  ['all channels, by a key for some', key(shared), {}],
  ['a channel that the maker lacks', key(shared), { channels: ['team', 'private'] }],
  ['another agent', key({ agent_id: 'indexer' }), { agent_id: 'planner' }],
  ['any agent, by a key of one', key({ agent_id: 'indexer' }), {}],
  ['a limit of its own, by a member', person(), { rate_limit: { max: 1, window_ms: 1000 } }],
  ['a longer life than the maker’s', key({ expires_at: hour }), { expires_at: later }],
  ['a life without an end, by a key that ends', key({ expires_at: hour }), {}],
])('a key cannot have %s', (_, creator, more) => {
  expect(refused(creator, more)).toMatchObject({ status: 403 });
});

test.each<[string, Principal, Partial<Grant>]>([
  ['the maker’s own role and scopes', person(), { scopes: ['read', 'write'] }],
  ['a lower role', admin(), { role: 'reader', user_id: 'ann' }],
  ['another subject, by an admin who is logged in', admin(), { user_id: 'bob' }],
  ['another subject, by a key for all', keyForAll(), { user_id: 'bob' }],
  ['some channels, by a maker of all', person(), { channels: ['private'] }],
  ['some of the maker’s channels', key(shared), { channels: ['team'] }],
  ['an agent, by a maker of any', person(), { agent_id: 'planner' }],
  ['the maker’s agent', key({ agent_id: 'indexer' }), { agent_id: 'indexer' }],
  ['a limit of its own, by an admin', admin(), { rate_limit: { max: 1, window_ms: 1000 } }],
  ['a life to the same moment', key({ expires_at: hour }), { expires_at: hour }],
  ['a life beyond the token of a log-in', person({ expires_at: hour }), { expires_at: later }],
  ['no end, by a key without one', key(), {}],
])('a key can have %s', (_, creator, more) => {
  expect(refused(creator, more)).toBeUndefined();
});

test('only users create users, and none above their own role', () => {
  expect(refusalOf(() => assertPerson(person()))).toBeUndefined();
  expect(refusalOf(() => assertPerson(admin({ kind: 'key' })))).toMatchObject({ status: 403 });
  expect(refusalOf(() => assertNotAbove(admin(), 'admin'))).toBeUndefined();
  expect(refusalOf(() => assertNotAbove(admin(), 'owner'))).toMatchObject({ status: 403 });
});
