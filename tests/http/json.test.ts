import typedAsModule from 'canonicalize';
import fc from 'fast-check';
import { canonicalJson, parseJson } from '../../src/http/json.ts';
import { Problem, type ProblemType } from '../../src/http/problem.ts';
import { cpuMsOf, QUADRATIC_MS } from '../support/cost.ts';

const limits = { maxDepth: 64, maxArray: 10_000, maxString: 1_000_000 };
const read = (text: string | Buffer) => parseJson(Buffer.from(text as string), limits);

function refusal(text: string | Buffer): { type: ProblemType; pointer: string | undefined } {
  try {
    read(text);
  } catch (error) {
    if (error instanceof Problem) return { type: error.type, pointer: error.errors?.[0]?.pointer };
    throw error;
  }
  throw new Error(`accepted: ${text.toString().slice(0, 100)}`);
}

/** Compares like a client: -0 equals 0. */
const same = (a: unknown, b: unknown) => expect(JSON.stringify(a)).toBe(JSON.stringify(b));

test('accepted JSON reads back equal', () => {
  fc.assert(
    fc.property(fc.json({ noUnicodeString: false } as never), (text) => {
      let value: unknown;
      try {
        value = read(text);
      } catch (error) {
        return expect(error).toMatchObject({ type: 'impossible-text' });
      }
      same(value, JSON.parse(text));
    }),
    { seed: 1, numRuns: 500 },
  );
});

test('every double is accepted and reads back equal', () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (number) => {
      expect((read(`[${JSON.stringify(number)}]`) as number[])[0]).toBe(number === 0 ? 0 : number);
    }),
    { seed: 2, numRuns: 1000 },
  );
});

test.each([
  ['NUL', '{"a":["x","\\u0000"]}', '#/a/1'],
  ['NUL in a key', '{"a":{"b\\u0000":1}}', '#/a/b\u0000'],
  ['half of a surrogate pair', '{"a":"\\ud800"}', '#/a'],
  ['the other half', '[["x\\udc00y"]]', '#/0/0'],
  ['a whole number that is rounded', '{"n":{"deep":[1,9007199254740993]}}', '#/n/deep/1'],
  ['the same in other words', '{"n":9007199254740993.0}', '#/n'],
  ['and with an exponent', '{"a~b/c":9.007199254740993e15}', '#/a~0b~1c'],
  ['a number beyond a double', '[1e400]', '#/0'],
  ['a number that vanishes', '{"a":"1e-400","b":1e-400}', '#/b'],
  ['a number that has lost its digits', '[2.5e-324]', '#/0'],
  ['__proto__', '{"a":{"__proto__":{"x":1}}}', '#/a/__proto__'],
  ['bytes that are not UTF-8', Buffer.from([0x22, 0xff, 0x22]), '#'],
  ['a surrogate in UTF-8', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), '#'],
  ['nesting beyond the limit', `${'['.repeat(65)}${']'.repeat(65)}`, `#${'/0'.repeat(64)}`],
  ['an array beyond the limit', JSON.stringify({ list: Array(10_001).fill(0) }), '#/list'],
  [
    'an object beyond the limit',
    JSON.stringify({ map: Object.fromEntries(Array.from({ length: 10_001 }, (_, i) => [`k${i}`, 0])) }),
    '#/map',
  ],
  ['a string beyond the limit', JSON.stringify(['x'.repeat(1_000_001)]), '#/0'],
])('%s is rejected with its pointer', (_, text, pointer) => {
  expect(refusal(text)).toEqual({ type: 'impossible-text', pointer });
});

test.each([
  ['9007199254740991'],
  ['-9007199254740991'],
  ['9007199254740992'],
  ['100000000000000000000'],
  ['1e20'],
  ['0.1'],
  ['0.10000000000000000555'],
  ['5e-324'],
  ['1.7976931348623157e308'],
  ['1E5'],
  ['-0'],
])('the number %s is accepted', (literal) => {
  same(read(`{"n":${literal}}`), JSON.parse(`{"n":${literal}}`));
});

test('numbers inside strings are text', () => {
  const text = JSON.stringify({ a: '9007199254740993 1e400 "1e-400" \\', 'b"9007199254740993': 1e5 });
  same(read(text), JSON.parse(text));
});

test.each(['', '{', '[1,]', '{"a":1}x', '"\u0001"', 'NaN', '01', "{'a':1}", '"unclosed', '\ufeff\ufeff1'])(
  '%j is not JSON',
  (text) => {
    expect(refusal(text).type).toBe('malformed-json');
  },
);

test('a text that would become a gigabyte of objects is rejected before it is parsed', () => {
  const parse = jest.spyOn(JSON, 'parse');
  expect(refusal('['.repeat(4_000_000)).type).toBe('impossible-text');
  expect(refusal(`[${'{},'.repeat(4_000_000)}{}]`).type).toBe('too-large');
  expect(refusal(`[${'[0],'.repeat(50_000)}0]`).type).toBe('too-large');
  expect(parse).not.toHaveBeenCalled();
  parse.mockRestore();
});

test.each([
  ['backslashes', `"${'\\'.repeat(5_000_000)}`, 'malformed-json'],
  ['noughts', `[0.${'0'.repeat(5_000_000)}1]`, 'impossible-text'],
] as [string, string, ProblemType][])('five million %s are scanned in linear time', (_, text, type) => {
  expect(cpuMsOf(() => expect(refusal(text).type).toBe(type))).toBeLessThan(QUADRATIC_MS);
});

/** The type declarations of `canonicalize` are for an ES module, but the package exports the function itself. */
const canonicalize = typedAsModule as unknown as typeof typedAsModule.default;

test('canonicalJson agrees with an implementation of RFC 8785', () => {
  fc.assert(fc.property(fc.jsonValue(), (value) => expect(canonicalJson(value)).toBe(canonicalize(value))));
});

test('canonicalJson returns the same text for equal values, regardless of the order of keys', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
      const reversed = Object.fromEntries(Object.entries(value).reverse());
      expect(canonicalJson(reversed)).toBe(canonicalJson(value));
      same(JSON.parse(canonicalJson(value)), JSON.parse(canonicalJson(JSON.parse(JSON.stringify(value)))));
    }),
    { seed: 3 },
  );
});
