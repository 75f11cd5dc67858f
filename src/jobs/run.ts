import type { Tenant, Tenants } from '../db/tenant.ts';
import { Problem, problemBody, toProblem } from '../http/problem.ts';
import type { Idempotency } from '../http/route.ts';
import type { Logger } from '../log.ts';
import { type ClaimedJob, claimJob, type DueJob, finishJob, listDue, releaseJob, reportJob, startJob } from './sql.ts';

// Runs what is queued. A job is held by a lease in its row, renewed while it runs: when its daemon dies the lease runs out, and any
// daemon goes on from the cursor.

const POLL_MS = 5_000;
const PER_TENANT = 2;
const MAX_DUE = 100;
/** Tries without getting further after which a job has failed. */
const MAX_TRIES = 12;
/** Twice as many: none of them ended, so each may have taken its daemon with it. */
const MAX_CLAIMS = 2 * MAX_TRIES;
const MAX_RETRY_DELAY_MS = 60_000;

/** What a handler is given. */
export interface Job<Input = unknown, Cursor = unknown> {
  tenant: Tenant;
  id: string;
  input: Input;
  /** Where an earlier holder left it; undefined at the beginning. */
  cursor: Cursor | undefined;
  done: number;
  /** The lease: SQL of a handler that writes a cursor in its own transaction passes them to report_job. */
  token: number;
  lease_ms: number;
  /** Tells how far it has come. Throws JobStopped where the daemon stops, or another holds the job by now: let it through. */
  report(done?: number, total?: number, cursor?: Cursor): Promise<void>;
  /** Whether `report` would throw. */
  stopped(): boolean;
}

/** May be called again from its last cursor after a crash. What it returns is the job's result. */
// biome-ignore lint/suspicious/noExplicitAny: each handler knows the input and the cursor that it made itself
export type Handler = (job: Job<any, any>) => Promise<Record<string, unknown>>;

/** A job that may go on, by what it is, though who began it has lost the right to. */
interface SelfAuthorizedHandler {
  run: Handler;
  continuesWithoutStarter(job: StartedBy): boolean;
}

/** By kind of job. */
export type Handlers = Record<string, Handler | SelfAuthorizedHandler>;

export interface Jobs {
  /** From now on takes what is due, of these kinds. */
  run(handlers: Handlers): void;
  /** Queues a job and begins soon. */
  start(
    tenant: Tenant,
    kind: string,
    input: unknown,
    started_by: string,
    idempotency?: Idempotency | null,
  ): Promise<{ job_id: string; replay: boolean }>;
  /** Takes up what is due until nothing is; the daemon looks every five seconds. */
  resume(): Promise<void>;
  /** Jobs that run here, and tenants with a job that is due and found no place at the last look (of the first hundred). */
  figures(): { running: number; waiting: number };
  /** Lets go of what runs, so that another daemon can go on at once. */
  stop(): Promise<void>;
}

/** Ends a handler that may not go on. The job itself is taken up again. */
export class JobStopped extends Error {
  constructor() {
    super('the job was stopped');
    this.name = 'JobStopped';
  }
}

function problemOf(error: unknown, job_id: string) {
  const { type, title, status, detail } = problemBody(toProblem(error), job_id);
  return { type, title, status, detail };
}

const claimLimit = (job_id: string) => ({
  max_tries: MAX_CLAIMS,
  problem: problemOf(new Problem('internal', `The job was begun ${MAX_CLAIMS} times and never came further.`), job_id),
});

/** What a job is, and whose authority it runs under: a principal's id, or a word for the service itself. */
type StartedBy = Pick<ClaimedJob, 'kind' | 'input' | 'started_by'>;

const outcomes = ['done', 'failed', 'retrying'] as const;

/** So old may the answer be that who began a job may still do so. */
const AUTHORITY_MS = 1_000;

export interface JobSettings {
  lease_ms: number;
  /** Jobs at once on this daemon. */
  parallel: number;
  /** Whether who began a job may still do so. */
  isStillAuthorized?: (tenant: Tenant, started_by: string) => Promise<boolean>;
  /** Counts tries that are over. */
  onEnded?: (of: { kind: string; outcome: (typeof outcomes)[number] }, by?: number) => void;
}

const never = () => false;

/** Throws once who began the job may no longer do so. */
function authorizer(isStillAuthorized: () => Promise<boolean>): () => Promise<void> {
  let asked = Number.NEGATIVE_INFINITY;
  return async () => {
    const now = performance.now();
    if (now - asked < AUTHORITY_MS) return;
    asked = now;
    if (!(await isStillAuthorized()))
      throw new Problem('forbidden', 'The user or key that began the job no longer has the right to.');
  };
}

/** Nothing is taken before `run`. */
export function openJobs(tenants: Tenants, log: Logger, settings: JobSettings): Jobs {
  const { lease_ms, parallel, isStillAuthorized = async () => true, onEnded = () => undefined } = settings;
  const running = new Map<string, Promise<void>>();
  let handlers: Handlers | undefined;
  let timer: NodeJS.Timeout | undefined;
  let stopping = false;
  let polling: Promise<void> | undefined;
  let waiting = 0;

  async function pollDue(): Promise<void> {
    if (stopping) return;
    const due = await listDue(tenants(''), PER_TENANT, MAX_DUE);
    for (const one of due) begin(one);
    waiting = due.filter(({ job_id }) => !running.has(job_id)).length;
  }

  function begin({ tenant_id, job_id }: DueJob): void {
    if (!handlers || stopping || running.has(job_id) || running.size >= parallel) return;
    const work = runJob(tenants(tenant_id), job_id)
      .catch((err: unknown) => log.warn({ err, tenant_id, job_id }, 'a job could not be taken or told of'))
      .finally(() => {
        running.delete(job_id);
        pollSoon();
      });
    running.set(job_id, work);
  }

  const pollSoon = () => {
    if (stopping || polling) return;
    polling = pollDue()
      .catch((err: unknown) => stopping || log.warn({ err }, 'looking for jobs failed'))
      .then(() => {
        polling = undefined;
      });
  };

  async function runJob(tenant: Tenant, job_id: string): Promise<void> {
    const taken = await claimJob(tenant, job_id, PER_TENANT, lease_ms, claimLimit(job_id));
    if (!taken) return;
    const handler = handlers?.[taken.kind];
    // another process does these: a daemon of a newer release, any daemon while erasures are replayed
    if (!handler) return void (await releaseJob(tenant, job_id, taken.token, MAX_RETRY_DELAY_MS));
    let held = true;
    const isStopped = () => stopping || !held;
    const { run, continuesWithoutStarter } =
      typeof handler === 'function' ? { run: handler, continuesWithoutStarter: never } : handler;
    const authorize = authorizer(async () => continuesWithoutStarter(taken) || isStillAuthorized(tenant, taken.started_by));
    const tell = async (report: Parameters<typeof reportJob>[3]) => {
      held = held && (await reportJob(tenant, job_id, taken.token, report, lease_ms));
    };
    const beat = setInterval(() => {
      tell({}).catch((err: unknown) => log.warn({ err, job_id }, 'a job’s lease could not be renewed'));
    }, lease_ms / 3);
    beat.unref();
    const job: Job = {
      tenant,
      id: job_id,
      input: taken.input,
      cursor: taken.cursor ?? undefined,
      done: taken.done,
      token: taken.token,
      lease_ms,
      stopped: isStopped,
      report: async (done, total, cursor) => {
        await authorize();
        if (!isStopped()) await tell({ done, total, cursor });
        if (isStopped()) throw new JobStopped();
      },
    };
    try {
      await authorize();
      const result = await run(job);
      if (await finishJob(tenant, job_id, taken.token, { result })) onEnded({ kind: taken.kind, outcome: 'done' });
    } catch (error) {
      if (held) await failOrRetry(tenant, job_id, taken, error);
    } finally {
      clearInterval(beat);
    }
  }

  /** For now, where the fault may pass; for good otherwise. */
  async function failOrRetry(tenant: Tenant, job_id: string, { kind, token, tries }: ClaimedJob, error: unknown): Promise<void> {
    if (error instanceof JobStopped || stopping) {
      await releaseJob(tenant, job_id, token, 0);
      return;
    }
    const { status, ...problem } = problemOf(error, job_id);
    const passing = status === 503 && tries < MAX_TRIES;
    log[passing ? 'warn' : 'error']({ err: error, tenant_id: tenant.id, job_id, kind, tries }, 'a job did not get through');
    onEnded({ kind, outcome: passing ? 'retrying' : 'failed' });
    if (passing) await releaseJob(tenant, job_id, token, Math.min(250 * 2 ** tries, MAX_RETRY_DELAY_MS));
    else await finishJob(tenant, job_id, token, { problem: { ...problem, status } });
  }

  return {
    run: (all) => {
      handlers = all;
      // so that the first job that fails is a step from zero, which a rate sees
      for (const kind of Object.keys(all)) for (const outcome of outcomes) onEnded({ kind, outcome }, 0);
      timer = setInterval(pollSoon, POLL_MS);
      timer.unref();
      pollSoon();
    },
    start: async (tenant, kind, input, started_by, idempotency = null) => {
      const job = await startJob(tenant, kind, input, started_by, idempotency);
      if (!job.replay) begin({ tenant_id: tenant.id, job_id: job.job_id });
      return job;
    },
    resume: async () => {
      do {
        await pollDue();
        await Promise.all(running.values());
      } while (!stopping && ((await listDue(tenants(''), PER_TENANT, 1)).length > 0 || running.size > 0));
    },
    figures: () => ({ running: running.size, waiting }),
    stop: async () => {
      stopping = true;
      clearInterval(timer);
      await polling;
      await Promise.all(running.values());
    },
  };
}
