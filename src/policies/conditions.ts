// Conditions of a rule, over the context of a request.

export const operators = ['==', '!=', 'in', 'contains', '>', '<', '>=', '<='] as const;
type Operator = (typeof operators)[number];

type Scalar = string | number | boolean | null;

export type Condition =
  | { field: string; operator: Operator; value: Scalar | Scalar[] }
  | { and: Condition[] }
  | { or: Condition[] };

const MAX_CONDITIONS = 100;
const MAX_DEPTH = 5;
const MAX_VALUES = 256;
const MAX_TEXT = 1_000;
const COMPARISONS: Operator[] = ['>', '<', '>=', '<='];

export interface ConditionFault {
  path: (string | number)[];
  message: string;
}

/** Returns what is wrong with the conditions of a request. */
export function faultsIn(conditions: unknown[]): ConditionFault[] {
  const faults: ConditionFault[] = [];
  let count = 0;
  const checkAll = (list: unknown[], path: (string | number)[], depth: number) => {
    for (const [i, one] of list.entries()) check(one, [...path, i], depth);
  };
  const check = (one: unknown, path: (string | number)[], depth: number): void => {
    count += 1;
    if (count === MAX_CONDITIONS + 1) faults.push({ path, message: `must have at most ${MAX_CONDITIONS} conditions` });
    if (count > MAX_CONDITIONS) return;
    const group = groupOf(one);
    if (!group) return void faults.push(...leafFaults(one, path));
    const [name, members] = group;
    if (depth >= MAX_DEPTH) faults.push({ path, message: `must be nested at most ${MAX_DEPTH} levels deep` });
    else if (members.length === 0) faults.push({ path: [...path, name], message: 'must not be empty' });
    else checkAll(members, [...path, name], depth + 1);
  };
  checkAll(conditions, [], 1);
  return faults;
}

/** Returns the name and the members of a group; undefined if the condition is not one. */
function groupOf(one: unknown): ['and' | 'or', unknown[]] | undefined {
  if (!isObject(one) || Object.keys(one).length !== 1) return undefined;
  if (Array.isArray(one.and)) return ['and', one.and];
  return Array.isArray(one.or) ? ['or', one.or] : undefined;
}

function leafFaults(one: unknown, path: (string | number)[]): ConditionFault[] {
  const shape = 'must be {"field", "operator", "value"}, {"and": […]} or {"or": […]}';
  if (!isObject(one) || Object.keys(one).some((key) => !['field', 'operator', 'value'].includes(key)))
    return [{ path, message: shape }];
  const { field, operator, value } = one;
  const faults: ConditionFault[] = [];
  if (typeof field !== 'string' || field.length === 0 || field.length > 255)
    faults.push({ path: [...path, 'field'], message: 'must be a path of 1 to 255 characters, such as user.role' });
  if (!operators.includes(operator as Operator))
    faults.push({ path: [...path, 'operator'], message: `must be one of ${operators.join(' ')}` });
  else if (!fitsOperator(operator as Operator, value))
    faults.push({ path: [...path, 'value'], message: expected(operator as Operator) });
  return faults;
}

function fitsOperator(operator: Operator, value: unknown): boolean {
  if (operator === 'in') return Array.isArray(value) && value.length <= MAX_VALUES && value.every(isScalar);
  return COMPARISONS.includes(operator) ? typeof value === 'number' : isScalar(value);
}

const expected = (operator: Operator): string => {
  if (operator === 'in') return `must be a list of at most ${MAX_VALUES} strings, numbers, booleans or nulls`;
  return COMPARISONS.includes(operator) ? 'must be a number' : 'must be a string, number, boolean or null';
};

const isScalar = (value: unknown): value is Scalar =>
  value === null || ['number', 'boolean'].includes(typeof value) || (typeof value === 'string' && value.length <= MAX_TEXT);
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Returns whether all conditions hold. A field that the context does not have fulfils no condition, not even `!=`. */
export const holds = (conditions: Condition[], context: Record<string, unknown>): boolean =>
  conditions.every((one) => holdsOne(one, context));

function holdsOne(one: Condition, context: Record<string, unknown>): boolean {
  if ('and' in one) return holds(one.and, context);
  if ('or' in one) return one.or.some((each) => holdsOne(each, context));
  const actual = valueAt(context, one.field);
  return actual !== undefined && compare(actual, one.operator, one.value);
}

/** Returns the value at a path such as `user.role`; undefined if there is none. */
function valueAt(context: Record<string, unknown>, field: string): unknown {
  let value: unknown = context;
  for (const name of field.split('.')) {
    if (!isObject(value) || !Object.hasOwn(value, name)) return undefined;
    value = value[name];
  }
  return value;
}

/** Values of different types are different, and only numbers have an order. A list or object equals nothing. */
function compare(actual: unknown, operator: Operator, value: Scalar | Scalar[]): boolean {
  switch (operator) {
    case '==':
      return actual === value;
    case '!=':
      return (actual === null || typeof actual !== 'object') && actual !== value;
    case 'in':
      return (value as unknown[]).includes(actual);
    case 'contains':
      return Array.isArray(actual)
        ? actual.includes(value)
        : typeof actual === 'string' && typeof value === 'string' && actual.includes(value);
    default:
      return typeof actual === 'number' && ordered(actual, operator, value as number);
  }
}

function ordered(actual: number, operator: Operator, value: number): boolean {
  if (operator === '>') return actual > value;
  if (operator === '<') return actual < value;
  return operator === '>=' ? actual >= value : actual <= value;
}
