import { compileSchema, schemaFault } from '../../src/mandates/args_schema.ts';
import { cpuMsOf, QUADRATIC_MS } from '../support/cost.ts';

// Schemas of arguments: those that are accepted, and the bound of their evaluation.

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
  ['a wrong type', { type: 'text' }, /valid JSON schema/],
])('%s is rejected', (_, schema, fault) => {
  expect(schemaFault(schema)).toMatch(fault);
});

test('local references, patterns and nested objects are evaluated', () => {
  const check = compileSchema({
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
  const check = compileSchema({ properties: { a: { const: 1 } } });
  expect(check({ a: 'gooseberry' })).not.toMatch(/gooseberry/);
});

test('patterns that backtrack in other engines, and large arguments, take bounded time', () => {
  const backtracking = compileSchema({ properties: { a: { pattern: '^(a+)+$' } } });
  expect(cpuMsOf(() => backtracking({ a: `${'a'.repeat(60_000)}b` }))).toBeLessThan(QUADRATIC_MS);
  const alternatives = compileSchema({
    properties: { a: { items: { anyOf: Array.from({ length: 900 }, (_, i) => ({ const: `c${i}` })) } } },
  });
  expect(alternatives({ a: ['c7'] })).toBeUndefined();
  expect(alternatives({ a: Array.from({ length: 30_000 }, () => 'x') })).toMatch(/too large/);
});
