// Times as texts. JavaScript's Date reads PostgreSQL's texts wrongly (the year 23 as 2023), refuses others and stops at milliseconds,
// so a time is never a Date between a request, the database and an answer. It has one form: RFC 3339 in UTC, with three digits of a
// second, or six where a client sent more.

const RFC_3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))$/;
// With a zone, years have four digits or more; an offset of long ago has seconds (`+00:53:28`).
const POSTGRESQL = /^(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d+))?([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?$/;
const DAY_S = 86_400;

/** What a client sent, in our form. Undefined where it is no RFC 3339, names no moment or is outside the years 1 to 9999 in UTC. */
export function parseTime(text: string): string | undefined {
  const found = RFC_3339.exec(text);
  if (!found) return undefined;
  const [, year, month, day, hour, minute, second, fraction = '', sign, hours = '0', minutes = '0'] = found;
  if (Number(day) < 1 || Number(day) > daysIn(Number(year), Number(month))) return undefined;
  // a leap second has no place in PostgreSQL, which would move it into the next minute
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined;
  const offset_s = Number(`${sign ?? ''}1`) * (Number(hours) * 3600 + Number(minutes) * 60);
  return toUtc(`${year}-${month}-${day}`, `${hour}:${minute}:${second}`, fraction, offset_s);
}

/** PostgreSQL's text of a `timestamptz` in our form; undefined for what that cannot express: infinity, BC, years beyond 9999. */
export function fromDatabase(text: string): string | undefined {
  // as sessions in UTC write it, without the cost of an expression: every row has two
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

/** Which of two times in our form is earlier: as texts, `…00.000Z` would come after `…00.000001Z`. */
export function compareTimes(one: string, other: string): number {
  const [a, b] = [one.slice(0, -1), other.slice(0, -1)];
  return a < b ? -1 : a > b ? 1 : 0;
}

/** A time in our form with all six digits, so that texts sort as times do. */
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

/** Leap years before a year of the proleptic Gregorian calendar, which RFC 3339 and PostgreSQL share. */
const leapsBefore = (year: number): number => {
  const last = year - 1;
  return Math.floor(last / 4) - Math.floor(last / 100) + Math.floor(last / 400);
};
const firstDayOf = (year: number): number => year * 365 + leapsBefore(year);

/** The number of a day, counted from an arbitrary one. */
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
