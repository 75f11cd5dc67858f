import { actingFor, type Behalf, mayReadAll, onBehalf, requireSubjectFor } from '../../src/auth/behalf.ts';
import type { Caller, Channel, Principal } from '../../src/auth/principal.ts';
import {
  byIdValues,
  channels,
  isHiddenById,
  isHiddenInLists,
  requireNamedSubject,
  visibilityById,
  visibilityIn,
  visibilityValues,
  withRetracted,
} from '../../src/auth/visibility.ts';
import type { Tenant } from '../../src/db/tenant.ts';
import { admin, key, keyForAll, person, refusalOf } from './principals.ts';

const callerOf = (principal: Principal): Caller => ({ principal, tenant: {} as Tenant });
const reader = (principal: Principal, behalf: Behalf) => onBehalf(callerOf(principal), behalf).principal;

test.each<[Channel, string[], string[]]>([
  ['public', ['public'], ['none', 'low']],
  ['agent', ['public', 'agent'], ['none', 'low']],
  ['team', ['public', 'team'], ['none', 'low', 'high']],
  ['private', ['private', 'public', 'team', 'agent'], ['none', 'low', 'high']],
])('a request in %s sees %j and the sensitivities %j', (channel, seen, sensitivities) => {
  expect(visibilityIn(person(), channel)).toEqual({ channels: seen, sensitivities, subjects: ['ann'] });
});

test('a request in a channel that the credential may not use returns 403', () => {
  expect(refusalOf(() => visibilityIn(key({ channels: ['team'] }), 'private'))).toMatchObject({ status: 403 });
});

test('a key for all subjects must name a user unless no private items are in reach', () => {
  const unnamed = { status: 422, at: ['#/user_id'] };
  expect(refusalOf(() => visibilityIn(keyForAll(), 'private', { pointer: '#/user_id' }))).toMatchObject(unnamed);
  expect(visibilityIn(keyForAll(), 'team').subjects).toEqual([]);
  expect(visibilityIn(reader(keyForAll(), { user_id: 'bob' }), 'private').subjects).toEqual(['bob']);
  expect(visibilityIn(reader(keyForAll(), { all_users: true }), 'private').subjects).toBeNull();
  expect(refusalOf(() => requireNamedSubject(keyForAll()))).toMatchObject({ status: 422, at: ['user_id'] });
  expect(refusalOf(() => requireNamedSubject(keyForAll({ channels: ['team'] })))).toBeUndefined();
  expect(refusalOf(() => requireNamedSubject(person()))).toBeUndefined();
  expect(refusalOf(() => requireSubjectFor(keyForAll(), { channel: 'private' }))).toMatchObject({ status: 422, at: ['user_id'] });
  expect(refusalOf(() => requireSubjectFor(keyForAll(), { channel: 'team' }))).toBeUndefined();
  expect(refusalOf(() => requireSubjectFor(person(), { channel: 'private' }))).toBeUndefined();
});

test('a lookup by id covers all channels of the credential, and tombstones', () => {
  expect(visibilityById(person())).toEqual({
    channels: ['private', 'public', 'team', 'agent'],
    sensitivities: ['none', 'low', 'high', 'secret'],
    subjects: ['ann'],
    byId: { allowed: [...channels], retracted: false },
  });
  const narrow = visibilityById(key({ channels: ['public', 'agent'] }));
  expect([narrow.channels, narrow.sensitivities]).toEqual([
    ['public', 'agent'],
    ['none', 'low', 'secret'],
  ]);
  for (const channel of ['team', 'private'] as const)
    expect(visibilityById(key({ channels: [channel] })).sensitivities).toContain('high');
});

test('an admin looks up items of all users and retracted ones; on behalf of a user only those of that user', () => {
  expect(visibilityById(admin())).toMatchObject({ subjects: null, byId: { retracted: true } });
  expect(visibilityById(reader(admin(), { user_id: 'bob' })).subjects).toEqual(['bob']);
});

test('reads on behalf of others require the right to act for them', () => {
  const caller = callerOf(person());
  expect(onBehalf(caller, {})).toBe(caller);
  expect(onBehalf(caller, { all_users: false })).toBe(caller);
  expect(reader(person(), { user_id: 'ann' })).toMatchObject({ subject: 'ann', subjects: ['ann'], reading: 'one' });
  expect(reader(admin(), { user_id: 'bob' })).toMatchObject({ subject: 'bob', subjects: ['bob'], reading: 'one' });
  expect(reader(admin(), { all_users: true })).toMatchObject({ subject: 'ann', subjects: null, reading: 'all' });
  expect(refusalOf(() => reader(person(), { user_id: 'bob' }))).toMatchObject({ status: 403 });
  expect(refusalOf(() => reader(person(), { all_users: true }))).toMatchObject({ status: 403 });
  expect(refusalOf(() => reader(keyForAll(), { user_id: '*' }))).toMatchObject({ status: 422, at: ['user_id'] });
  const both = { user_id: 'bob', all_users: true };
  expect(refusalOf(() => reader(admin(), both))).toMatchObject({ status: 422, at: ['all_users'] });
  expect(refusalOf(() => onBehalf(callerOf(admin()), both, 'pointer'))).toMatchObject({ status: 422, at: ['#/all_users'] });
  expect([person(), admin(), keyForAll()].map(mayReadAll)).toEqual([false, true, true]);
});

test('a key for all subjects writes with the visibility of the named user, others with their own', () => {
  expect(actingFor(callerOf(keyForAll()), 'bob').principal).toMatchObject({ subject: 'bob', subjects: ['bob'], reading: 'one' });
  const all = keyForAll();
  expect(actingFor(callerOf(all), undefined).principal).toBe(all);
  const boss = admin();
  expect(actingFor(callerOf(boss), 'bob').principal).toBe(boss);
});

test('an item that is blocked in all channels of the credential is hidden by id; a quarantined one is not', () => {
  expect(isHiddenById(null, ['team'])).toBe(false);
  expect(isHiddenById(['team'], ['team'])).toBe(true);
  expect(isHiddenById(['team'], ['team', 'private'])).toBe(false);
  expect(isHiddenById([...channels], ['team'])).toBe(false);
});

test('an item that is blocked in every channel that would list it is hidden in lists', () => {
  const ofTeam = { channel: 'team', sensitivity: 'none' } as const;
  expect(isHiddenInLists(null, ['team'], ofTeam)).toBe(false);
  expect(isHiddenInLists(['team'], ['team'], ofTeam)).toBe(true);
  // the list of `private` still shows it
  expect(isHiddenInLists(['team'], ['team', 'private'], ofTeam)).toBe(false);
  // `public` and `agent` never show team items or highly sensitive ones
  expect(isHiddenInLists(['team'], ['team', 'public', 'agent'], ofTeam)).toBe(true);
  expect(isHiddenInLists(['team'], ['team', 'public'], { channel: 'public', sensitivity: 'high' })).toBe(true);
});

test('the parameters of a statement', () => {
  const visibility = visibilityById(key({ channels: ['team'] }));
  expect(visibilityValues(visibility)).toEqual([['public', 'team'], ['ann'], ['none', 'low', 'high', 'secret']]);
  expect(byIdValues(visibility)).toEqual([false, ['team']]);
  expect(byIdValues(withRetracted(visibility))).toEqual([true, ['team']]);
  const listed = visibilityIn(person(), 'team');
  expect(withRetracted(listed)).toEqual(listed);
  expect(byIdValues(listed)).toEqual([false, [...channels]]);
});
