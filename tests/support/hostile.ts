import fc from 'fast-check';
import type { Operation } from '../../src/http/openapi.ts';
import { document } from './contract.ts';

// Generators of requests that the OpenAPI document allows, and of corrupted ones.

type Json = Record<string, unknown>;

/** Generates valid values of a schema of the document. */
export function valuesOf(schema: Json, depth = 0): fc.Arbitrary<unknown> {
  if (typeof schema.$ref === 'string') return valuesOf(document.components.schemas[schema.$ref.split('/').at(-1)!]!, depth);
  const options = (schema.anyOf ?? schema.oneOf) as Json[] | undefined;
  if (options) return fc.oneof(...options.map((option) => valuesOf(option, depth)));
  if ('const' in schema) return fc.constant(schema.const);
  if (Array.isArray(schema.enum)) return fc.constantFrom(...schema.enum);
  if (schema.type === 'object') return objectsOf(schema, depth);
  if (schema.type === 'array') {
    const { minItems = 0, maxItems = 3 } = schema as { minItems?: number; maxItems?: number };
    return fc.array(valuesOf((schema.items as Json) ?? {}, depth + 1), {
      minLength: minItems,
      maxLength: Math.max(minItems, Math.min(maxItems, 3)),
    });
  }
  if (schema.type === 'integer' || schema.type === 'number')
    return fc.integer({ min: Number(schema.minimum ?? 0), max: Math.min(Number(schema.maximum ?? 1000), 1e9) });
  if (schema.type === 'boolean') return fc.boolean();
  if (schema.type === 'null') return fc.constant(null);
  if (schema.type === 'string') return stringsOf(schema);
  return fc.jsonValue({ maxDepth: 2 });
}

function objectsOf(schema: Json, depth: number): fc.Arbitrary<unknown> {
  const properties = Object.entries((schema.properties ?? {}) as Record<string, Json>);
  const required = (schema.required ?? []) as string[];
  if (properties.length === 0)
    return fc.dictionary(fc.stringMatching(/^[a-z]{1,5}$/), fc.jsonValue({ maxDepth: 1 }), { maxKeys: 3 });
  const fields = Object.fromEntries(properties.map(([name, field]) => [name, valuesOf(field, depth + 1)]));
  return fc.record(fields, { requiredKeys: required });
}

function stringsOf(schema: Json): fc.Arbitrary<string> {
  if (schema.format === 'date-time')
    return fc.date({ min: new Date(0), max: new Date('2100-01-01'), noInvalidDate: true }).map((date) => date.toISOString());
  if (typeof schema.pattern === 'string') return fc.stringMatching(new RegExp(schema.pattern, 'u'), { size: 'xsmall' });
  const minLength = Number(schema.minLength ?? 0);
  return fc.string({ minLength, maxLength: Math.max(minLength, Math.min(Number(schema.maxLength ?? 20), 20)) });
}

/** Placeholders for literals that JSON.stringify cannot produce. */
const literals: Record<string, string> = {
  '@huge@': '1e400',
  '@tiny@': '1e-400',
  '@rounded@': '9007199254740993',
  '@nul@': '"\\u0000"',
  '@surrogate@': '"\\ud800"',
  '@twice@': '{"a":1,"a":2}',
  '@proto@': '{"__proto__":{"admin":true}}',
  '@deep@': '['.repeat(3000) + ']'.repeat(3000),
  '@broken@': '{,}',
};

const harm: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    false,
    0,
    -1,
    1.5,
    2 ** 53,
    -(2 ** 53),
    1e308,
    '',
    ' ',
    [],
    {},
    [[]],
    [null],
    Object.keys(literals),
  ),
  fc.constantFrom(...Object.keys(literals)),
  fc.constantFrom(
    "'; drop table events; --",
    '../../../etc/passwd',
    '{{7*7}}',
    '<script>alert(1)</script>',
    '\u202e\u0007\u001b[31m',
    '🎈'.repeat(200),
    'é'.normalize('NFD'),
    'constructor',
    'evt_00000000000000000000000000',
    'chk_x_99999999999999999999',
    '0000-01-01T00:00:00Z',
    '9999-12-31T23:59:60Z',
    '2026-02-30T00:00:00Z',
    '-271821-04-20T00:00:00.000Z',
    '9999-12-31T23:59:59-14:00',
  ),
  fc.constantFrom(255, 256, 5000, 200_000).map((length) => 'x'.repeat(length)),
  fc.constantFrom(1001, 12_000).map((length) => Array(length).fill({})),
  fc.jsonValue({ maxDepth: 3, stringUnit: 'binary' } as never),
);

/** Generates values in which one member, or a new one, is replaced by a hostile value. */
export function corrupted(values: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc.tuple(values, harm, fc.nat(1000)).map(([value, evil, at]) => replaceSome(value, evil, at));
}

function replaceSome(value: unknown, evil: unknown, at: number): unknown {
  if (typeof value !== 'object' || value === null || at % 7 === 0) return evil;
  const keys = [...Object.keys(value), 'unknown'];
  const key = keys[at % keys.length]!;
  const copy: Json = Array.isArray(value) ? ([...value] as unknown as Json) : { ...value };
  copy[key] = at % 3 === 0 && key in copy ? replaceSome(copy[key], evil, at >> 2) : evil;
  return copy;
}

/** Serialises a value and replaces the placeholders, after which the text may not be valid JSON. */
export function textOf(value: unknown): string {
  const text = JSON.stringify(value) ?? '';
  return Object.entries(literals).reduce((made, [mark, literal]) => made.replaceAll(`"${mark}"`, literal), text);
}

export const contentType = fc.oneof(
  { weight: 6, arbitrary: fc.constant('application/json') },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data',
      'application/json; charset=utf-16',
      'x',
      'application/xml',
    ),
  },
);

const segment = fc.constantFrom(
  '%00',
  '%ff',
  '%',
  '..%2f..',
  '%F0%9F',
  'x'.repeat(3000),
  '%20',
  'evt_1',
  "'",
  '%7B%7D',
  '*',
  '%u0041',
  'null',
);

/** Generates the path of an operation with random or hostile parameters. */
export const pathOf = (template: string): fc.Arbitrary<string> =>
  fc
    .tuple(segment, fc.string({ maxLength: 30 }), fc.boolean())
    .map(([evil, text, wild]) =>
      template.replaceAll(/\{\w+\}/g, () => (wild ? evil : encodeURIComponent(text.toWellFormed() || 'x'))),
    );

export function queryOf(operation: Operation): fc.Arbitrary<string> {
  const parameters = (operation.parameters as { name: string; in: string; schema: Json }[]).filter((one) => one.in === 'query');
  const known = parameters.map(({ name, schema }) =>
    fc.oneof(
      { weight: 5, arbitrary: fc.constant('') },
      { weight: 2, arbitrary: valuesOf(schema).map((value) => pair(name, value)) },
      { weight: 1, arbitrary: harm.map((value) => pair(name, value)) },
    ),
  );
  const odd = fc.constantFrom(
    '',
    '',
    '',
    '',
    '__proto__=1',
    'a[b]=c',
    'limit=1&limit=2',
    'tenant_id=other',
    '%00=1',
    'x=%ff',
    '&&==&',
    'cursor=WzFd',
  );
  return fc.tuple(odd, ...known).map((parts) => {
    const text = parts.filter(Boolean).join('&');
    return text && `?${text}`;
  });
}

const pair = (name: string, value: unknown) =>
  `${name}=${encodeURIComponent((typeof value === 'string' ? value : JSON.stringify(value)).toWellFormed().slice(0, 3000))}`;

const odd: Record<string, string[]> = {
  'idempotency-key': ['k', ' ', 'x'.repeat(256), 'é', '"'],
  'x-tenant-id': ['other'],
  'x-request-id': ['<b>', 'x'.repeat(300)],
  'x-forwarded-for': ['1.2.3.4, 5.6.7.8', 'x'],
  'x-http-method-override': ['DELETE'],
  'if-match': ['*', '"x"', 'W/"1"', '""', '\\'],
  'if-none-match': ['*'],
  range: ['bytes=0-', 'bytes=9-1', 'bytes=-0', 'bytes=99999999999999999999-', 'lines=1'],
  'last-event-id': ['-1', 'x', '99999999999999999999', ''],
  accept: ['application/xml', '', '*/*;q=0', 'text/html'],
  'content-encoding': ['gzip', 'identity'],
  cookie: ['access_token=x'],
};

export const headers: fc.Arbitrary<Record<string, string>> = fc
  .array(fc.constantFrom(...Object.entries(odd).flatMap(([name, values]) => values.map((value) => [name, value] as const))), {
    maxLength: 2,
  })
  .map((pairs) => Object.fromEntries(pairs));
