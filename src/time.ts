// Timestamps as text. JavaScript's Date misreads some of PostgreSQL's texts (the year 23 as 2023), rejects others and has millisecond
// precision, so a timestamp is never converted to a Date on its way between request, database and response. All timestamps have one
// form, the canonical form: RFC 3339 in UTC, with three fractional digits, or six if the client sent more than three.

const RFC_3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))$/;
// Years have four digits or more. Historical offsets include seconds (`+00:53:28`).
const POSTGRESQL = /^(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d+))?([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?$/;
const DAY_S = 86_400;

/**
 * Converts a client's timestamp to the canonical form. Returns undefined if it is not RFC 3339, does not exist in the calendar, or lies outside
 * the years 1 to 9999 in UTC.
 */
export function parseTime(text: string): string | undefined {
  const found = RFC_3339.exec(text);
  if (!found) return undefined;
  const [, year, month, day, hour, minute, second, fraction = '', sign, hours = '0', minutes = '0'] = found;
  if (Number(day) < 1 || Number(day) > daysIn(Number(year), Number(month))) return undefined;
  // PostgreSQL has no leap seconds and would shift one into the next minute.
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined;
  const offset_s = Number(`${sign ?? ''}1`) * (Number(hours) * 3600 + Number(minutes) * 60);
  return toUtc(`${year}-${month}-${day}`, `${hour}:${minute}:${second}`, fraction, offset_s);
}

/** Converts PostgreSQL's text of a `timestamptz` to the canonical form. Returns undefined for infinity, BC and years beyond 9999. */
export function fromDatabase(text: string): string | undefined {
  // Fast path without a regular expression for sessions in UTC, because every row has two timestamps.
  if (text.charCodeAt(4) === DASH && text.endsWith('+00') && text.length >= SHORTEST)
    return join(text.slice(0, 10), text.slice(11, 19), text.slice(20, -3));
  const found = POSTGRESQL.exec(text);
  if (!found) return undefined;
  const [, year, month, day, hour, minute, second, fraction = '', sign, hours, minutes = '0', seconds = '0'] = found;
  const offset_s = Number(`${sign}1`) * (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds));
  return toUtc(`${year}-${month}-${day}`, `${hour}:${minute}:${second}`, fraction, offset_s);
}

const DASH = 0x2d;
const SHORTEST = '2026-01-05 10:00:00+00'.length;

/** Compares two canonical timestamps. A comparison of the texts would sort `…00.000Z` after `…00.000001Z`. */
export function compareTimes(one: string, other: string): number {
  const [a, b] = [one.slice(0, -1), other.slice(0, -1)];
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Pads a canonical timestamp to six fractional digits, so that the texts sort chronologically. */
export const sortableTime = (time: string): string => `${time.slice(0, -1).padEnd(SORTABLE, '0')}Z`;
const SORTABLE = '2026-01-05T10:00:00.000000'.length;

export const timeNow = (): string => new Date().toISOString();

function toUtc(date: string, time: string, fraction: string, offset_s: number): string | undefined {
  if (offset_s === 0) return join(date, time, fraction);
  const [year, month, day] = date.split('-').map(Number) as [number, number, number];
  const [hour, minute, second] = time.split(':').map(Number) as [number, number, number];
  const total_s = dayOf(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second - offset_s;
  const of_day = ((total_s % DAY_S) + DAY_S) % DAY_S;
  const clock = [Math.floor(of_day / 3600), Math.floor(of_day / 60) % 60, of_day % 60];
  const utc = dateOf((total_s - of_day) / DAY_S);
  return utc && join(utc, clock.map((part) => pad(part, 2)).join(':'), fraction);
}

function join(date: string, time: string, fraction: string): string | undefined {
  if (date.length !== 10 || date.startsWith('0000')) return undefined;
  const micros = fraction.slice(0, 6).padEnd(6, '0');
  return `${date}T${time}.${micros.endsWith('000') ? micros.slice(0, 3) : micros}Z`;
}

const pad = (part: number, digits: number): string => String(part).padStart(digits, '0');
const isLeap = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
const MONTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const daysIn = (year: number, month: number): number => (MONTHS[month - 1] ?? 0) + (month === 2 && isLeap(year) ? 1 : 0);

/** Number of leap years before a year of the proleptic Gregorian calendar, which both RFC 3339 and PostgreSQL use. */
const leapsBefore = (year: number): number => {
  const last = year - 1;
  return Math.floor(last / 4) - Math.floor(last / 100) + Math.floor(last / 400);
};
const firstDayOf = (year: number): number => year * 365 + leapsBefore(year);

/** The number of days from a fixed epoch. */
function dayOf(year: number, month: number, day: number): number {
  let days = firstDayOf(year) + day - 1;
  for (let before = 1; before < month; before += 1) days += daysIn(year, before);
  return days;
}

function dateOf(number: number): string | undefined {
  let year = Math.floor(number / 365.2425);
  while (firstDayOf(year) > number) year -= 1;
  while (firstDayOf(year + 1) <= number) year += 1;
  let rest = number - firstDayOf(year);
  let month = 1;
  for (; rest >= daysIn(year, month); month += 1) rest -= daysIn(year, month);
  return year < 1 || year > 9999 ? undefined : `${pad(year, 4)}-${pad(month, 2)}-${pad(rest + 1, 2)}`;
}
