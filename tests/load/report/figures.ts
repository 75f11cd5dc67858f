import { guide, operations, SLOTS, type Suite, secondsOf, type Threshold, thresholdsOf, usersOf } from '../suites.ts';

// Selects the figures of the report from k6's summary. Pure.

/** The parts of k6's data for handleSummary that are read here. */
export interface Summary {
  metrics: Record<string, { values: Record<string, number>; thresholds?: Record<string, { ok: boolean }> } | undefined>;
  root_group: { checks: { name: string; passes: number; fails: number }[] };
  state: { testRunDurationMs: number };
}

interface Latency {
  median: number;
  p95: number;
  p99: number;
  max: number;
}

export interface Row extends Latency {
  name: string;
  requests: number;
  failed: number;
  rate_limited: number;
}

interface Held {
  metric: string;
  rule: string;
  value: number;
  ok: boolean;
  of: 'guide' | 'ours';
}

export interface Slot extends Latency {
  /** Seconds since the start of the run. */
  from: number;
  to: number;
  requests: number;
  failed: number;
}

export interface Figures {
  suite: string;
  base_url: string;
  ended_at: string;
  seconds: number;
  users: number;
  passed: boolean;
  phases: (Row & { users: string; seconds: number })[];
  operations: Row[];
  all: Row;
  /** Time to the first byte of a follower's stream. */
  streams: Latency & { opened: number };
  dropped_turns: number;
  thresholds: Held[];
  checks: { name: string; passes: number; fails: number }[];
  /** Requests of turns by status; 0 means no response. */
  answers: Record<string, number>;
  timeline: Slot[];
}

/** Statuses that are listed individually; all others are summed up as `other`. */
const statuses = [0, 200, 201, 400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504];
const slots = Array.from({ length: SLOTS }, (_, i) => i);
const selectors = (suite: Suite) => [
  'kind:turn',
  ...operations.map((operation) => `operation:${operation}`),
  ...suite.phases.map(({ name }) => `scenario:${name}`),
  ...slots.map((slot) => `slot:${slot}`),
];
const answered = (status: number) => `http_reqs{kind:turn,status:${status}}`;

/** k6 reports a subset of the requests only if a threshold names it, so these thresholds have no conditions. */
export function seriesOf(suite: Suite): Record<string, Threshold[]> {
  const series = selectors(suite).flatMap((selector) =>
    ['http_req_duration', 'http_reqs', 'http_req_failed'].map((metric) => `${metric}{${selector}}`),
  );
  const limited = operations.map((operation) => `rate_limited{operation:${operation}}`);
  return Object.fromEntries([...series, ...limited, ...statuses.map(answered)].map((name) => [name, []]));
}

export function figuresOf(data: Summary, name: string, suite: Suite, base_url: string): Figures {
  const read = (metric: string, value: string) => data.metrics[metric]?.values[value] ?? 0;
  const latency = (metric: string): Latency => ({
    median: read(metric, 'med'),
    p95: read(metric, 'p(95)'),
    p99: read(metric, 'p(99)'),
    max: read(metric, 'max'),
  });
  const row = (of: string, selector: string): Row => ({
    name: of,
    requests: read(`http_reqs{${selector}}`, 'count'),
    failed: read(`http_req_failed{${selector}}`, 'passes'),
    rate_limited: read(`rate_limited{${selector}}`, 'count'),
    ...latency(`http_req_duration{${selector}}`),
  });
  const all = { ...row('all', 'kind:turn'), rate_limited: read('rate_limited', 'count') };
  const thresholds = heldOf(data, suite);
  const seconds = secondsOf(suite);
  return {
    suite: name,
    base_url,
    ended_at: new Date().toISOString(),
    seconds: data.state.testRunDurationMs / 1000,
    users: usersOf(suite),
    passed: thresholds.every(({ ok }) => ok),
    phases: suite.phases.map((phase) => ({
      ...row(phase.name, `scenario:${phase.name}`),
      users: phase.from ? `${phase.from} to ${phase.users}` : String(phase.users),
      seconds: phase.seconds,
    })),
    operations: operations.map((operation) => row(operation, `operation:${operation}`)),
    all,
    streams: { ...latency('http_req_waiting{operation:stream}'), opened: read('http_req_waiting{operation:stream}', 'count') },
    dropped_turns: read('dropped_iterations', 'count'),
    thresholds,
    checks: data.root_group.checks.map(({ name, passes, fails }) => ({ name, passes, fails })),
    answers: answersOf(read, all.requests),
    timeline: slots.map((slot) => {
      const { name: _, rate_limited: __, ...figures } = row('', `slot:${slot}`);
      return { from: (slot * seconds) / SLOTS, to: ((slot + 1) * seconds) / SLOTS, ...figures };
    }),
  };
}

/** All thresholds, including those of metrics without samples. */
function heldOf(data: Summary, suite: Suite): Held[] {
  return Object.entries(thresholdsOf(suite)).flatMap(([metric, rules]) =>
    rules.map((one) => {
      const rule = typeof one === 'string' ? one : one.threshold;
      const found = data.metrics[metric];
      // A missing metric means that no such event happened (nothing dropped, nothing rate-limited), so the threshold is met.
      return {
        metric,
        rule,
        value: found?.values[subjectOf(rule)] ?? 0,
        ok: found?.thresholds?.[rule]?.ok ?? true,
        of: ownerOf(metric, rule),
      };
    }),
  );
}

const subjectOf = (rule: string) => /^[a-z]+(\(\d+\))?/.exec(rule)![0];

function ownerOf(metric: string, rule: string): 'guide' | 'ours' {
  const [, of, phase] = /^(http_req_duration|http_req_failed)\{scenario:(\w+)\}$/.exec(metric) ?? [];
  const rules = of ? guide[phase as keyof typeof guide][of as 'http_req_duration' | 'http_req_failed'] : [];
  return rules.includes(rule) ? 'guide' : 'ours';
}

function answersOf(read: (metric: string, value: string) => number, all: number): Record<string, number> {
  const counts = statuses.map((status) => [String(status), read(answered(status), 'count')] as const);
  const other = all - counts.reduce((sum, [, count]) => sum + count, 0);
  return Object.fromEntries([...counts, ['other', other] as const].filter(([, count]) => count > 0));
}

/** Returns the highest request rate of a part of the run, before the first part in which a threshold of the guide failed. */
export function heldUntil({ timeline }: Figures): { requests_per_second: number; broke: boolean } {
  const { main } = guide;
  const most = (rule: string) => Number(/<(.*)/.exec(rule)![1]);
  const [p95, p99] = main.http_req_duration.map(most) as [number, number];
  const failing = most(main.http_req_failed[0]!);
  const used = timeline.filter(({ requests }) => requests > 0);
  const broken = used.findIndex((slot) => slot.p95 >= p95 || slot.p99 >= p99 || slot.failed / slot.requests >= failing);
  const held = broken < 0 ? used : used.slice(0, broken);
  const rates = held.map(({ requests, from, to }) => requests / (to - from));
  return { requests_per_second: Math.max(0, ...rates), broke: broken >= 0 };
}
