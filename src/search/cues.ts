import { parse } from 'chrono-node/en';
import { traits } from '../passages/index.ts';

// Extracts hints from a query in addition to its terms: names of actors, the expected kind of answer, and dates. Only English is recognized.

/** A date or month in UTC. `year` is null for a date without a year, which matches every year. */
export interface DateCue {
  year: number | null;
  month: number;
  /** Null for the whole month. */
  day: number | null;
}

export interface Cues {
  /** Words and pairs of words in lower case, which may be names of actors. */
  names: string[];
  /** The trait that an answer is likely to have; 0 for any. */
  trait: number;
  dates: DateCue[];
}

const MAX_NAMES = 64;
/** Further characters are not searched for dates. */
const MAX_DATED_CHARACTERS = 500;

export function cuesOf(query: string, now: Date): Cues {
  return { names: namesIn(query), trait: expectedTrait(query), dates: datesIn(query.slice(0, MAX_DATED_CHARACTERS), now) };
}

function namesIn(query: string): string[] {
  const words = query
    .toLowerCase()
    .split(/['’]s?(?![\p{L}\p{N}])|[^\p{L}\p{N}._@-]+/u)
    .map((word) => word.replace(/^[._-]+|[._-]+$/g, ''))
    .filter((word) => word !== '')
    .slice(0, MAX_NAMES / 2);
  return [...new Set([...words, ...words.slice(1).map((word, i) => `${words[i]} ${word}`)])];
}

function expectedTrait(query: string): number {
  if (/\bwhen\b|\bwhat (?:date|day|month|year)\b|\bhow long ago\b/i.test(query)) return traits.dated;
  if (/\bhow (?:many|much|often|old|long)\b/i.test(query)) return traits.numbered;
  if (/\b(?:who|whom|where)\b/i.test(query)) return traits.names;
  return 0;
}

/** Returns the dates that a query names, relative ones resolved against `now`: "8 May 2023", "in May", "last Tuesday", "two weeks ago". */
function datesIn(query: string, now: Date): DateCue[] {
  return parse(query, { instant: now, timezone: 0 }).flatMap(({ start }) => {
    const [year, month, day] = [start.get('year')!, start.get('month')!, start.get('day')!];
    const isRelative = !start.isCertain('month') && (start.isCertain('weekday') || start.isCertain('day'));
    // a time of day alone, such as "at 5"
    if (!start.isCertain('month') && !isRelative) return [];
    const isDay = start.isCertain('day') || start.isCertain('weekday');
    return [{ year: start.isCertain('year') || isRelative ? year : null, month, day: isDay ? day : null }];
  });
}

const DAY_MS = 86_400_000;

/**
 * Returns how well a day (days since 1970) fits a date, from 0 to 1. A date is often written up later: within 2 days after it counts 1, within
 * 10 days 0.7, up to 4 days before 0.5. A month counts 1, the halves of the next one 0.6 and 0.4, the end of the one before 0.3.
 */
export function dateFit(dates: DateCue[], day: number): number {
  return dates.reduce((best, date) => Math.max(best, date.day === null ? monthFit(date, day) : dayFit(date, day)), 0);
}

function dayFit({ year, month, day }: DateCue, at: number): number {
  const named = Date.UTC(year ?? new Date(at * DAY_MS).getUTCFullYear(), month - 1, day!) / DAY_MS;
  const after = at - named;
  if (after >= 0 && after <= 2) return 1;
  if (after >= 0 && after <= 10) return 0.7;
  return after < 0 && after >= -4 ? 0.5 : 0;
}

function monthFit({ year, month }: DateCue, at: number): number {
  const date = new Date(at * DAY_MS);
  const months = (date.getUTCFullYear() - (year ?? date.getUTCFullYear())) * 12 + date.getUTCMonth() + 1 - month;
  if (months === 0) return 1;
  if (months === 1) return date.getUTCDate() <= 15 ? 0.6 : 0.4;
  return months === -1 && date.getUTCDate() > 20 ? 0.3 : 0;
}
