// The suites with their phases and thresholds. Pure, because the report and the tests use them too.

export type PhaseName = 'warmup' | 'main' | 'peak';

/** A phase with a number of users. If `from` is set, the number rises steadily from there. */
export interface Phase {
  name: PhaseName;
  users: number;
  seconds: number;
  from?: number;
}

export interface Suite {
  phases: Phase[];
  /** In addition to the guide's thresholds, applies stricter ones, for load at which the service should respond quickly. */
  atEase: boolean;
  /** Aborts the run if the guide's thresholds fail. */
  stopsWhenBroken: boolean;
}

/** The requests of a turn, one of each. */
export const operations = ['message', 'context', 'tool_call', 'tool_result', 'search', 'decision', 'list', 'follow'] as const;
export type Operation = (typeof operations)[number];

/**
 * A user begins a turn at this interval, most of which represents model calls, even if the last turn has not ended: a slow service does not reduce
 * the load.
 */
export const TURN_SECONDS = 4;
/** Parts of the run that the report plots separately. */
export const SLOTS = 40;
const USERS_OF_A_TENANT = 10;
const USERS_OF_A_FOLLOWER = 5;

const phase = (name: PhaseName, users: number, seconds: number, from?: number): Phase => ({
  name,
  users,
  seconds,
  ...(from && { from }),
});
const suite = (phases: Phase[], atEase: boolean, stopsWhenBroken = false): Suite => ({ phases, atEase, stopsWhenBroken });

const suites: Record<string, Suite> = {
  // The first context request makes the daemon load its tokenizer.
  smoke: suite([phase('warmup', 1, 6), phase('main', 1, 24)], true),
  basic: suite([phase('warmup', 5, 15), phase('main', 10, 60, 5), phase('peak', 10, 30)], true),
  concurrent: suite([phase('warmup', 5, 30), phase('main', 10, 60), phase('peak', 20, 60)], true),
  stress: suite([phase('warmup', 10, 30), phase('main', 25, 90), phase('peak', 50, 180)], false),
  // The main part comes last: after the spike, latency must return to normal.
  spike: suite([phase('warmup', 5, 30), phase('peak', 50, 30), phase('main', 5, 60)], false),
  soak: suite([phase('warmup', 5, 60), phase('main', 10, 3600)], true),
  breakpoint: suite([phase('main', 100, 600, 1)], false, true),
};

/** Returns the suite of this name, with its durations and users multiplied. */
export function suiteOf(name: string, durationScale: number, usersScale: number): Suite {
  const found = suites[name];
  if (!found) throw new Error(`There is no suite "${name}". There are: ${Object.keys(suites).join(', ')}.`);
  if (!(durationScale > 0) || !(usersScale > 0)) throw new Error('DURATION_SCALE and USERS_SCALE are numbers above 0.');
  const scaled = (users: number) => Math.max(1, Math.round(users * usersScale));
  const phases = found.phases.map((one) => ({
    ...one,
    users: scaled(one.users),
    seconds: Math.max(TURN_SECONDS, Math.round(one.seconds * durationScale)),
    ...(one.from && { from: scaled(one.from) }),
  }));
  return { ...found, phases };
}

export const secondsOf = ({ phases }: Suite): number => phases.reduce((sum, { seconds }) => sum + seconds, 0);
export const usersOf = ({ phases }: Suite): number => Math.max(...phases.map(({ users }) => users));
export const tenantsOf = (one: Suite): number => Math.ceil(usersOf(one) / USERS_OF_A_TENANT);
export const followersOf = (one: Suite): number => Math.ceil(usersOf(one) / USERS_OF_A_FOLLOWER);
/** Number of due turns; for a rising phase, its mean. */
const turnsOf = ({ phases }: Suite): number =>
  phases.reduce((sum, { users, from, seconds }) => sum + (((from ?? users) + users) / 2 / TURN_SECONDS) * seconds, 0);

/** Returns k6's scenarios: the phases in sequence, and the followers in parallel. */
export function scenariosOf(one: Suite) {
  let start = 0;
  const turns = one.phases.map((each) => {
    const scenario = { ...executorOf(each), startTime: `${start}s`, gracefulStop: '30s', exec: 'turn' };
    start += each.seconds;
    return [each.name, scenario] as const;
  });
  const followers = {
    executor: 'constant-vus',
    vus: followersOf(one),
    duration: `${start}s`,
    gracefulStop: '5s',
    exec: 'followStream',
  };
  return { ...Object.fromEntries(turns), followers };
}

function executorOf({ users, seconds, from }: Phase) {
  // twice the users, because turns that take too long overlap with the next; k6 drops a turn while it creates a VU
  const vus = { timeUnit: `${TURN_SECONDS}s`, preAllocatedVUs: users * 2 };
  return from
    ? { executor: 'ramping-arrival-rate', startRate: from, stages: [{ target: users, duration: `${seconds}s` }], ...vus }
    : { executor: 'constant-arrival-rate', rate: users, duration: `${seconds}s`, ...vus };
}

/** The thresholds of the deployment guide, unchanged. */
export const guide: Record<PhaseName, { http_req_duration: string[]; http_req_failed: string[] }> = {
  warmup: { http_req_duration: ['p(95)<300'], http_req_failed: ['rate<0.01'] },
  main: { http_req_duration: ['p(95)<500', 'p(99)<1000'], http_req_failed: ['rate<0.02'] },
  peak: { http_req_duration: ['p(95)<500', 'p(99)<1000'], http_req_failed: ['rate<0.02'] },
};

/** Our stricter thresholds, for a service without overload. */
const atEase: typeof guide = {
  warmup: { http_req_duration: ['p(95)<200'], http_req_failed: ['rate<0.001'] },
  main: { http_req_duration: ['p(95)<200', 'p(99)<500'], http_req_failed: ['rate<0.001'] },
  peak: { http_req_duration: ['p(95)<250', 'p(99)<600'], http_req_failed: ['rate<0.001'] },
};

export type Threshold = string | { threshold: string; abortOnFail: boolean; delayAbortEval: string };

/** Returns k6's thresholds. Those of every suite assert a valid run: each operation occurred, nothing was rate-limited, responses were correct. */
export function thresholdsOf(one: Suite): Record<string, Threshold[]> {
  const all: Record<string, Threshold[]> = {
    checks: ['rate>0.99'],
    rate_limited: ['count<1'],
    dropped_iterations: [`count<${Math.max(1, Math.round(turnsOf(one) * 0.01))}`],
    // a stream that never started counts as 0
    'http_req_waiting{operation:stream}': ['min>0', 'p(95)<1000'],
  };
  for (const operation of operations) all[`http_reqs{operation:${operation}}`] = ['count>0'];
  for (const { name } of one.phases)
    for (const metric of ['http_req_duration', 'http_req_failed'] as const) {
      const of = guide[name][metric].map((threshold) =>
        one.stopsWhenBroken ? { threshold, abortOnFail: true, delayAbortEval: '10s' } : threshold,
      );
      all[`${metric}{scenario:${name}}`] = [...of, ...(one.atEase ? atEase[name][metric] : [])];
    }
  return all;
}
