import { type Condition, faultsIn, holds, operators } from '../../src/policies/conditions.ts';

const context = {
  role: 'admin',
  user: { level: 3, tags: ['a', 'b'], name: 'alice smith' },
  amount: 10,
  live: true,
  nothing: null,
  'a.b': 1,
};
const is = (field: string, operator: (typeof operators)[number], value: any): boolean =>
  holds([{ field, operator, value }], context);

test.each([
  ['role', '==', 'admin', true],
  ['role', '==', 'member', false],
  ['role', '!=', 'member', true],
  ['role', '!=', 'admin', false],
  ['nothing', '==', null, true],
  ['live', '==', 'true', false],
  ['amount', '==', '10', false],
  ['amount', '!=', '10', true],
  ['role', 'in', ['member', 'admin'], true],
  ['amount', 'in', ['10'], false],
  ['user.tags', 'contains', 'b', true],
  ['user.tags', 'contains', 'c', false],
  ['user.name', 'contains', 'smith', true],
  ['amount', 'contains', 1, false],
  ['user.level', '>', 2, true],
  ['user.level', '>', 3, false],
  ['user.level', '>=', 3, true],
  ['user.level', '<', 4, true],
  ['user.level', '<=', 2, false],
  ['role', '>', 0, false],
  // lists and objects equal nothing
  ['user', '!=', 'x', false],
  ['user.tags', '==', 'a', false],
] as const)('%s %s %j is %j', (field, operator, value, expected) => {
  expect(is(field, operator, value)).toBe(expected);
});

test('a missing field fulfils no condition', () => {
  for (const field of ['missing', 'user.missing', 'role.length', 'user.tags.0', 'a.b', 'constructor', '__proto__.x'])
    for (const operator of operators)
      expect([field, operator, is(field, operator, operator === 'in' ? [null] : 0)]).toEqual([field, operator, false]);
});

test('groups combine conditions, and an empty list always holds', () => {
  const yes: Condition = { field: 'amount', operator: '==', value: 10 };
  const no: Condition = { field: 'missing', operator: '!=', value: 10 };
  expect(holds([], {})).toBe(true);
  expect(holds([yes, no], context)).toBe(false);
  expect(holds([{ or: [no, yes] }], context)).toBe(true);
  expect(holds([{ or: [no, { and: [yes, no] }] }], context)).toBe(false);
  expect(holds([{ and: [yes, { or: [no, yes] }] }], context)).toBe(true);
});

test.each([
  [[{ field: 'a', operator: '~', value: 1 }], '0.operator'],
  [[{ field: '', operator: '==', value: 1 }], '0.field'],
  [[{ field: 'a', operator: '==', value: {} }], '0.value'],
  [[{ field: 'a', operator: '==' }], '0.value'],
  [[{ field: 'a', operator: 'in', value: 'a' }], '0.value'],
  [[{ field: 'a', operator: '>', value: '1' }], '0.value'],
  [[{ and: [] }], '0.and'],
  [[{ or: [{ field: 'a', operator: '==', value: 1 }], and: [] }], '0'],
  [['x'], '0'],
  [[null], '0'],
  [Array.from({ length: 101 }, () => ({ field: 'a', operator: '==', value: 1 })), '100'],
  [[nested(6)], '0.and.0.and.0.and.0.and.0'],
])('faults are reported with their place: %#', (conditions, path) => {
  expect(faultsIn(conditions).map((fault) => fault.path.join('.'))).toEqual([path]);
});

function nested(depth: number): unknown {
  return depth === 0 ? { field: 'a', operator: '==', value: 1 } : { and: [nested(depth - 1)] };
}
