import {
  actorOf,
  agentOf,
  authorize,
  isAdmin,
  outranks,
  type Principal,
  type Role,
  requireChannel,
  requireSubject,
  type Scope,
  subjectOf,
} from '../../src/auth/principal.ts';
import type { Tenant } from '../../src/db/tenant.ts';
import { admin, key, keyForAll, person, refusalOf } from './principals.ts';

const forbidden = { status: 403 };

test('owner > admin > member > reader, and no role outranks itself', () => {
  const roles: Role[] = ['reader', 'member', 'admin', 'owner'];
  for (const [i, a] of roles.entries())
    for (const [j, b] of roles.entries()) expect([a, b, outranks(a, b)]).toEqual([a, b, i > j]);
});

test('an admin needs both the role and the scope', () => {
  expect(isAdmin(admin())).toBe(true);
  expect(isAdmin(admin({ scopes: ['read', 'write'] }))).toBe(false);
  expect(isAdmin(person({ scopes: ['admin'] }))).toBe(false);
});

test.each<[Principal, Scope[]]>([
  [person(), ['read', 'write']],
  [person({ scopes: ['read'] }), ['read']],
  [person({ scopes: ['write'] }), ['write']],
  // demoted after the credential was created
  [person({ role: 'reader' }), ['read']],
  [person({ scopes: ['read', 'write', 'admin'] }), ['read', 'write']],
  [admin(), ['read', 'write', 'admin']],
])('a credential may do what both its role and its scopes allow (%#)', (principal, allowed) => {
  const may = (scope: Scope) => refusalOf(() => authorize({ principal, tenant: {} as Tenant }, scope)) === undefined;
  expect((['read', 'write', 'admin'] as const).filter(may)).toEqual(allowed);
});

test('a principal acts for its own subject; an admin and a key for all subjects act for any', () => {
  expect(refusalOf(() => requireSubject(person(), 'ann'))).toBeUndefined();
  expect(refusalOf(() => requireSubject(admin(), 'bob'))).toBeUndefined();
  expect(refusalOf(() => requireSubject(keyForAll(), 'bob'))).toBeUndefined();
  expect(refusalOf(() => requireSubject(person(), 'b'.repeat(100)))).toMatchObject({
    ...forbidden,
    detail: expect.stringMatching(/"b{80}"/),
  });
});

test('a write is about the named subject, or the principal’s own if the item must have one', () => {
  const at = { pointer: '#/user_id' };
  expect(subjectOf(person(), undefined, false, at)).toBeUndefined();
  expect(subjectOf(person(), undefined, true, at)).toBe('ann');
  expect(subjectOf(person(), 'ann', false, at)).toBe('ann');
  expect(subjectOf(keyForAll(), 'bob', false, at)).toBe('bob');
  expect(refusalOf(() => subjectOf(person(), 'bob', false, at))).toMatchObject(forbidden);
  expect(refusalOf(() => subjectOf(keyForAll(), undefined, true, at))).toMatchObject({ status: 422, at: ['#/user_id'] });
  expect(refusalOf(() => subjectOf(keyForAll(), '*', false, at))).toMatchObject({ status: 422, at: ['#/user_id'] });
});

test('a key of one agent acts only as that agent', () => {
  const bound = key({ agent_id: 'indexer' });
  expect([agentOf(bound), agentOf(bound, 'indexer'), agentOf(person(), 'any'), agentOf(person())]).toEqual([
    'indexer',
    'indexer',
    'any',
    undefined,
  ]);
  expect(refusalOf(() => agentOf(bound, 'planner'))).toMatchObject(forbidden);
  expect(refusalOf(() => actorOf(bound, undefined, { type: 'agent', id: 'planner' }))).toMatchObject(forbidden);
});

test('the actor is the one that the request names, or the named agent, or the caller', () => {
  const tool = { type: 'tool', id: 'planner' } as const;
  expect(actorOf(key({ agent_id: 'indexer' }), 'indexer', tool)).toEqual(tool);
  expect(actorOf(key(), 'planner')).toEqual({ type: 'agent', id: 'planner' });
  expect(actorOf(key())).toEqual({ type: 'agent', id: 'indexer' });
  // a person remains the actor if an agent is named
  expect(actorOf(person(), 'planner')).toEqual({ type: 'human', id: 'ann' });
});

test('a credential for some channels gets 403 for the others', () => {
  const some = key({ channels: ['team'] });
  expect(refusalOf(() => requireChannel(some, 'team'))).toBeUndefined();
  expect(refusalOf(() => requireChannel(some, 'private'))).toMatchObject(forbidden);
  expect(refusalOf(() => requireChannel(person(), 'private'))).toBeUndefined();
});
