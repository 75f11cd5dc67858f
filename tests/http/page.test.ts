import fc from 'fast-check';
import { decodeCursor, encodeCursor, toPage } from '../../src/http/page.ts';

const part = fc.oneof(fc.string({ unit: 'grapheme' }), fc.maxSafeInteger());
const key = fc.array(part, { minLength: 1, maxLength: 4 });
const kindsOf = (values: (string | number)[]) => values.map((value) => typeof value as 'string' | 'number');

test('decoding a cursor returns the key that was encoded', () => {
  fc.assert(
    fc.property(key, (values) => {
      const usable = values.every((value) => typeof value === 'number' || !value.includes('\u0000'));
      const read = () => decodeCursor(encodeCursor(values), kindsOf(values));
      if (usable) expect(read()).toEqual(values.map((value) => (Object.is(value, -0) ? 0 : value)));
      else expect(read).toThrow('The cursor does not belong to this list.');
    }),
    { seed: 1 },
  );
});

test('a cursor of another list is rejected', () => {
  fc.assert(
    fc.property(key, key, (values, others) => {
      fc.pre(JSON.stringify(kindsOf(values)) !== JSON.stringify(kindsOf(others)));
      expect(() => decodeCursor(encodeCursor(values), kindsOf(others))).toThrow('The cursor does not belong to this list.');
    }),
    { seed: 2 },
  );
});

const encode = (text: string) => Buffer.from(text).toString('base64url');

test.each([
  ['nothing', ''],
  ['no base64', '%%%'],
  ['no JSON', encode('[1')],
  ['no array', encode('{"0":1,"length":1}')],
  ['a number beyond a double', encode('[1e400]')],
  ['a fraction', encode('[1.5]')],
  ['a rounded number', encode('[9007199254740993]')],
  ['null', encode('[null]')],
  ['deep nesting', encode('['.repeat(300))],
])('%s is rejected as a cursor', (_, cursor) => {
  expect(() => decodeCursor(cursor, ['number'])).toThrow(
    expect.objectContaining({
      type: 'validation',
      errors: [{ parameter: 'cursor', detail: 'must be the next_cursor of an earlier page of this list' }],
    }),
  );
});

test('a cursor with text that PostgreSQL cannot store is rejected', () => {
  expect(() => decodeCursor(encode('["\\u0000"]'), ['string'])).toThrow('The cursor does not belong to this list.');
  expect(() => decodeCursor(encode('["\\ud800"]'), ['string'])).toThrow('The cursor does not belong to this list.');
});

test('all pages together are the list', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat()), fc.integer({ min: 1, max: 7 }), (numbers, limit) => {
      const all = numbers.sort((a, b) => a - b);
      const read: number[] = [];
      let after = -1;
      for (;;) {
        const page = toPage(all.filter((n) => n > after).slice(0, limit + 1), limit, (n) => [n]);
        read.push(...page.data);
        if (page.next_cursor === null) break;
        after = Number(decodeCursor(page.next_cursor, ['number'])[0]);
      }
      expect(read).toEqual(all);
    }),
    { seed: 3 },
  );
});
