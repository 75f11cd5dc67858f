import { compileSchema, schemaFault, schemasFault } from '../../src/mandates/args_schema.ts';
import { evaluate } from '../../src/mandates/evaluate.ts';
import type { ToolPolicy } from '../../src/mandates/schemas.ts';
import { cpuMsOf, QUADRATIC_MS } from '../support/cost.ts';

// Schemas of arguments: those that are accepted, and the bound of their evaluation.

const faultsOf = (schema: unknown) => {
  const check = compileSchema(schema);
  return (args: unknown) => check.faultIn(args);
};
const nested = (depth: number): unknown => (depth === 0 ? true : { not: nested(depth - 1) });
const doubling = (n: number) =>
  Object.fromEntries(
    Array.from({ length: n }, (_, i) => [
      `d${i}`,
      i === n - 1 ? true : { anyOf: [{ $ref: `#/$defs/d${i + 1}` }, { $ref: `#/$defs/d${i + 1}` }] },
    ]),
  );

test.each([
  ['a remote reference', { $ref: 'https://example.com/schema.json' }, /outside of itself/],
  ['a reference to a file', { properties: { a: { $ref: 'other.json#/a' } } }, /outside of itself/],
  ['a missing reference', { $ref: '#/$defs/gone' }, /missing/],
  ['a recursive reference', { $defs: { a: { properties: { b: { $ref: '#/$defs/a' } } } }, $ref: '#/$defs/a' }, /recursive/],
  ['references that double', { $defs: doubling(30), $ref: '#/$defs/d0' }, /subschemas/],
  ['$data', { properties: { a: { minimum: { $data: '1/b' } } } }, /valid JSON schema/],
  ['$dynamicRef', { $dynamicRef: '#a' }, /must not use/],
  ['an id', { $id: 'https://example.com' }, /must not use/],
  ['format', { properties: { a: { format: 'email' } } }, /must not use "format"/],
  ['an unknown keyword', { requierd: ['a'] }, /must not use/],
  ['a back-reference', { properties: { a: { pattern: '(a)\\1' } } }, /RE2/],
  ['a look-ahead', { properties: { a: { pattern: '(?=a)' } } }, /RE2/],
  ['a large pattern', { properties: { a: { pattern: '((a{100}){100}){100}' } } }, /patterns/],
  ['uniqueItems without a bound', { properties: { a: { uniqueItems: true } } }, /maxItems/],
  ['deep nesting', nested(100), /nested/],
  ['many subschemas', { anyOf: Array.from({ length: 1001 }, () => true) }, /subschemas/],
  ['many characters', { title: 'x'.repeat(16_384) }, /characters/],
  ['another dialect', { $schema: 'http://json-schema.org/draft-07/schema#' }, /\$schema/],
  ['a wrong type', { type: 'text' }, /valid JSON schema/],
])('%s is rejected', (_, schema, fault) => {
  expect(schemaFault(schema)).toMatch(fault);
});

test('local references, patterns and nested objects are evaluated', () => {
  const check = faultsOf({
    type: 'object',
    $defs: { path: { type: 'string', pattern: '^/tmp/[a-z]+$' } },
    properties: { from: { $ref: '#/$defs/path' }, to: { $ref: '#/$defs/path', maxLength: 8 }, 'x-a': { pattern: 'b' } },
    required: ['from'],
    additionalProperties: false,
  });
  expect(check({ from: '/tmp/a', to: '/tmp/b' })).toBeUndefined();
  expect(check({ from: '/etc/a' })).toMatch(/^\/from /);
  expect(check({ from: '/tmp/a', to: '/tmp/long' })).toMatch(/^\/to /);
  expect(check({ from: '/tmp/a', 'x-a': 'a' })).toMatch(/^\/x-a /);
  expect(check({ from: '/tmp/a', other: 1 })).toMatch(/additional/);
  expect(check({})).toMatch(/required/);
});

test('a fault does not repeat the arguments', () => {
  const check = faultsOf({ properties: { a: { const: 1 } } });
  expect(check({ a: 'gooseberry' })).not.toMatch(/gooseberry/);
});

test('patterns that backtrack in other engines take bounded time', () => {
  const backtracking = faultsOf({ properties: { a: { pattern: '^(a+)+$' } } });
  expect(cpuMsOf(() => backtracking({ a: `${'a'.repeat(60_000)}b` }))).toBeLessThan(QUADRATIC_MS);
});

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);
const values = (count: number) => ({ a: Array.from({ length: count }, () => 'x') });
/** Returns the refusal of a call whose arguments all entries check. */
const refusalOf = (entries: Record<string, unknown>[], args: Record<string, unknown>) => {
  const tool_policies: Record<string, ToolPolicy> = Object.fromEntries(
    entries.map((args_schema, i) => [`t${'*'.repeat(i + 1)}`, { args_schema }]),
  );
  const argsCheckOf = (pattern: string) => compileSchema(tool_policies[pattern]!.args_schema);
  const link = { mandate_id: 'man_1', definition: { tool_policies }, argsCheckOf };
  return evaluate([link], { action_id: 'a', type: 'tool_call', tool: 't', estimate_micros: 0, args }).early?.detail;
};

test.each([
  ['subschemas', { anyOf: numbers(450).map((i) => ({ const: `c${i}` })) }],
  ['values of an enum', { enum: ['x', ...numbers(900)] }],
  ['values inside a const', { not: { const: numbers(900) } }],
  ['names of dependentRequired', { dependentRequired: Object.fromEntries(numbers(400).map((i) => [`n${i}`, ['a']])) }],
])('large arguments are refused for a schema with many %s', (_, items) => {
  expect(refusalOf([{ properties: { a: { items } } }], values(30_000))).toMatch(/too large/);
});

test('unique items count as compared with each other', () => {
  const unique = { properties: { a: { items: { maxItems: 200, uniqueItems: true } } } };
  expect(refusalOf([unique], values(30_000))).toMatch(/too large/);
});

test('all schemas that apply share the bound of work', () => {
  const schema = { properties: { a: { items: { enum: ['x', ...numbers(90)] } } } };
  expect(refusalOf([schema], values(30_000))).toBeUndefined();
  expect(refusalOf([schema, schema], values(30_000))).toMatch(/too large/);
});

test('an enum has a maximum size, and so have all schemas of a definition', () => {
  expect(schemaFault({ enum: numbers(1_000) })).toMatch(/compared values/);
  const named = (count: number, schema: unknown) => Object.fromEntries(numbers(count).map((i) => [`t${i}`, schema]));
  expect(schemasFault(named(32, {}))).toBeUndefined();
  expect(schemasFault(named(33, {}))).toEqual({ fault: 'must have at most 32 schemas of arguments' });
  expect(schemasFault(named(3, { enum: numbers(900) }))?.fault).toMatch(/2000 subschemas/);
  expect(schemasFault({ a: {}, b: { format: 'email' } })).toMatchObject({ name: 'b', fault: expect.stringMatching(/format/) });
});
