import { createHash } from 'node:crypto';
import type { RecordedResponse } from '../../src/examples.ts';

// Replaces whatever differs between two runs of the same requests: ids, times, secrets and durations. Ids and times depend only on the
// example that creates them, so that a new example changes no other recorded response.

const STORY_START = Date.parse('2026-01-12T09:00:00Z');
const MINUTE_MS = 60_000;
const crockford = '0123456789abcdefghjkmnpqrstvwxyz';

const time = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)/g;
const date = /\b\d{4}-\d\d-\d\d(?![T\d])/g;
const uuid = /\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g;
const ulid = /(?<=\b[a-z]{3}_)[0-9a-hjkmnp-tv-z]{26}/g;
const secrets: [pattern: RegExp, replacement: string][] = [
  [/eyJ[\w-]+\.[\w-]+\.[\w-]+/g, 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.EXAMPLE.EXAMPLE'],
  [/\.eyJ[\w-]+\.[\w-]{43}/g, '.EXAMPLE.EXAMPLE'],
  [/(?<=\bam[krip]\.[\w-]+\.\w+\.)[\w-]{43}/g, 'EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXA'],
  [/\bwhsec_[\w+/=-]+/g, 'whsec_EXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLE='],
];
const figures: Record<string, number> = { duration_ms: 38, uptime_s: 86_400 };

/** `depthOf`: the longest chain of examples that must run before an example. */
export function stabilizer(depthOf: (name: string) => number, texts: [real: string, story: string][]) {
  const shift_ms = Math.floor(Date.now() / 1000) * 1000 - STORY_START;
  const runs: { name: string; start: number }[] = [];
  /** Real times of the times that requests contain. */
  const sentTimes = new Set<number>();
  /** Replacements of ids, uuids and hashes. */
  const replacements = new Map<string, string>();
  const iso = (ms: number) => new Date(ms).toISOString();
  const current = () => runs.at(-1)!;
  /** The example that ran at this time. */
  const runAt = (ms: number) => (ms > Date.now() ? undefined : runs.findLast(({ start }) => start <= ms));
  const storyTime = (name: string) => STORY_START + depthOf(name) * MINUTE_MS + (hashOf(name)[0]! % 60) * 1000;

  function timeOf(text: string): string {
    const story = storyTimeOf(Date.parse(text));
    return text.endsWith('Z') ? story : story.replace('Z', '+00:00');
  }

  function storyTimeOf(ms: number): string {
    if (sentTimes.has(ms)) return iso(ms - shift_ms);
    const run = runAt(ms);
    if (run) return iso(storyTime(run.name));
    const { name, start } = current();
    return iso(storyTime(name) + Math.round((ms - start) / MINUTE_MS) * MINUTE_MS);
  }

  /** A date without a time: that of a time in a request, or of the run. */
  function dateOf(text: string): string {
    const moments = [
      ...[...sentTimes].map((ms) => [ms, ms - shift_ms] as const),
      ...runs.map(({ start }) => [start, STORY_START] as const),
    ];
    const found = moments.find(([real]) => iso(real).startsWith(text));
    return found === undefined ? text : iso(found[1]).slice(0, text.length);
  }

  /** Returns the same replacement for the same text. `make` gets a seed that no other text of the example has. */
  function replacementOf(text: string, name: string, make: (seed: string) => string): string {
    for (let n = 0; !replacements.has(text); n += 1) {
      const candidate = make(`${name} ${n}`);
      if (![...replacements.values()].includes(candidate)) replacements.set(text, candidate);
    }
    return replacements.get(text)!;
  }

  function idOf(text: string): string {
    const { name } = runAt(timeIn(text)) ?? current();
    return replacementOf(text, name, (seed) => ulidOf(storyTime(name), seed));
  }

  const digestOf = (text: string): string => replacementOf(text, current().name, (seed) => hashOf(seed).toString('hex'));
  const uuidOf = (text: string): string => digestOf(text).replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, '$1-$2-4$3-8$4-$5');

  const textOf = (text: string): string =>
    [...secrets, ...texts].reduce<string>(
      (stable, [from, to]) => stable.replaceAll(from, to),
      text.replaceAll(ulid, idOf).replaceAll(uuid, uuidOf).replaceAll(time, timeOf).replaceAll(date, dateOf),
    );

  function memberOf(this: object, name: string, value: unknown): unknown {
    if (name in figures && value !== null) return figures[name];
    // the token of a lease is a time
    if (name === 'token' && typeof value === 'number') return Date.parse(storyTimeOf(value));
    // the sha256 of an artifact is the same in each run, that of a signed certificate is not
    if (['mac', 'hmac'].includes(name) || (name === 'sha256' && 'hmac' in this)) return digestOf(String(value));
    if (name === 'next_cursor' && value !== null)
      return Buffer.from(textOf(Buffer.from(String(value), 'base64url').toString())).toString('base64url');
    return typeof value === 'string' ? textOf(value) : value;
  }

  return {
    /** The next example begins. */
    next: (name: string) => void runs.push({ name, start: Date.now() }),
    /** Moves the times of a request, which belong to the story, to the time of the run. */
    toReal: (request: string) =>
      request.replaceAll(time, (text) => {
        const ms = Date.parse(text) + shift_ms;
        sentTimes.add(ms);
        return iso(ms);
      }),
    toStory: (response: RecordedResponse) => JSON.parse(JSON.stringify(response), memberOf) as RecordedResponse,
  };
}

const hashOf = (text: string): Buffer => createHash('sha256').update(text).digest();

function ulidOf(ms: number, seed: string): string {
  let head = '';
  for (let rest = ms; head.length < 10; rest = Math.floor(rest / 32)) head = crockford[rest % 32] + head;
  return head + [...hashOf(seed).subarray(0, 16)].map((byte) => crockford[byte & 31]).join('');
}

/** The time that an id starts with. */
const timeIn = (id: string): number => [...id.slice(0, 10)].reduce((ms, digit) => ms * 32 + crockford.indexOf(digit), 0);
