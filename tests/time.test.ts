import fc from 'fast-check';
import { compareTimes, fromDatabase, parseTime, sortableTime } from '../src/time.ts';

const FIRST = Date.UTC(2001, 0, 1) - 2000 * 365.2425 * 86_400_000;
const LAST = Date.parse('9999-12-31T23:59:59.999Z');
const pad = (value: number) => String(value).padStart(2, '0');

test('a timestamp of any year and offset denotes the same time as a Date, within the years that Date can parse', () => {
  const given = fc.record({ ms: fc.integer({ min: FIRST, max: LAST }), offset: fc.integer({ min: -1439, max: 1439 }) });
  fc.assert(
    fc.property(given, ({ ms, offset }) => {
      const local = new Date(ms + offset * 60_000);
      fc.pre(local.getUTCFullYear() >= 0 && local.getUTCFullYear() <= 9999);
      const zone = `${offset < 0 ? '-' : '+'}${pad(Math.trunc(Math.abs(offset) / 60))}:${pad(Math.abs(offset) % 60)}`;
      const utc = new Date(ms).toISOString();
      expect(parseTime(local.toISOString().replace('Z', zone))).toBe(/^(?!0000)\d{4}-/.test(utc) ? utc : undefined);
    }),
    { numRuns: 2_000 },
  );
});

test.each([
  ['2024-02-29T00:00:00Z', '2024-02-29T00:00:00.000Z'],
  ['2000-02-29t23:59:59z', '2000-02-29T23:59:59.000Z'],
  ['0023-06-15T12:30:00Z', '0023-06-15T12:30:00.000Z'],
  ['0001-01-01T00:00:00-14:00', '0001-01-01T14:00:00.000Z'],
  ['0000-12-31T23:00:00-02:00', '0001-01-01T01:00:00.000Z'],
  ['9999-12-31T23:59:59.999999Z', '9999-12-31T23:59:59.999999Z'],
  ['2026-01-05T10:00:00.5Z', '2026-01-05T10:00:00.500Z'],
  ['2026-01-05T10:00:00.0000019+00:00', '2026-01-05T10:00:00.000001Z'],
  ['2026-01-05T00:30:00.123456+05:45', '2026-01-04T18:45:00.123456Z'],
  ['2026-01-05T10:00:00-00:00', '2026-01-05T10:00:00.000Z'],
])('%s becomes %s', (text, kept) => {
  expect(parseTime(text)).toBe(kept);
});

test.each([
  ['2026-02-29T00:00:00Z'],
  ['1900-02-29T00:00:00Z'],
  ['2026-04-31T00:00:00Z'],
  ['2026-00-10T00:00:00Z'],
  ['2026-13-10T00:00:00Z'],
  ['2026-01-00T00:00:00Z'],
  ['2026-01-05T24:00:00Z'],
  ['2016-12-31T23:59:60Z'],
  ['2026-01-05T10:60:00Z'],
  ['2026-01-05T10:00:00+24:00'],
  ['2026-01-05T10:00:00'],
  ['2026-01-05T10:00Z'],
  ['2026-01-05 10:00:00Z'],
  ['2026-01-05'],
  ['0000-06-15T00:00:00Z'],
  ['0001-01-01T00:00:00+14:00'],
  ['9999-12-31T23:59:59-00:01'],
  ['10000-01-01T00:00:00Z'],
  ['-0001-01-01T00:00:00Z'],
  ['2026-01-05T10:00:00.Z'],
  ['infinity'],
  ['now'],
  [''],
])('%s is rejected', (text) => {
  expect(parseTime(text)).toBeUndefined();
});

test.each([
  ['2026-01-05 10:00:00+00', '2026-01-05T10:00:00.000Z'],
  ['0023-06-15 12:30:00.000001+00', '0023-06-15T12:30:00.000001Z'],
  ['2026-01-05 15:30:00.12+05:30', '2026-01-05T10:00:00.120Z'],
  ['0023-06-15 13:23:28+00:53:28', '0023-06-15T12:30:00.000Z'],
  ['2025-12-31 20:00:00-04', '2026-01-01T00:00:00.000Z'],
])('PostgreSQL’s %s becomes %s', (text, time) => {
  expect(fromDatabase(text)).toBe(time);
});

test.each([
  ['infinity'],
  ['-infinity'],
  ['0044-03-15 12:00:00+00 BC'],
  ['10000-01-01 00:00:00+00'],
  ['294276-12-31 23:59:59+00'],
  [''],
])('PostgreSQL’s %s cannot be represented', (text) => {
  expect(fromDatabase(text)).toBeUndefined();
});

test('compareTimes and sortableTime order timestamps chronologically', () => {
  const moment = fc.record({ second: fc.integer({ min: 0, max: 3 }), micros: fc.integer({ min: 0, max: 999_999 }) });
  const textOf = ({ second, micros }: { second: number; micros: number }) =>
    parseTime(`2026-01-05T10:00:0${second}.${String(micros).padStart(6, '0')}Z`)!;
  const near = fc.constantFrom(0, 1, 999, 1000, 1001, 500_000, 999_999).map((micros) => ({ second: 1, micros }));
  fc.assert(
    fc.property(fc.oneof(moment, near), fc.oneof(moment, near), (a, b) => {
      const order = Math.sign(a.second * 1e6 + a.micros - (b.second * 1e6 + b.micros));
      const [one, other] = [textOf(a), textOf(b)];
      expect(compareTimes(one, other)).toBe(order);
      expect(Math.sign(Number(sortableTime(one) > sortableTime(other)) - Number(sortableTime(one) < sortableTime(other)))).toBe(
        order,
      );
    }),
  );
});
