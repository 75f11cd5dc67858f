import type { Tenant, Tenants } from '../db/tenant.ts';
import { Problem, problemBody, toProblem } from '../http/problem.ts';
import type { Idempotency } from '../http/route.ts';
import type { Logger } from '../log.ts';
import { type ClaimedJob, claimJob, type DueJob, finishJob, listDue, releaseJob, reportJob, startJob } from './sql.ts';

// Runs queued jobs. A daemon that runs a job has a lease in its row and renews it. If the daemon dies, the lease expires and any daemon
// continues from the cursor.

const POLL_MS = 5_000;
const PER_TENANT = 2;
const MAX_DUE = 100;
/** Number of attempts without progress after which a job fails. */
const MAX_TRIES = 12;
/** Number of claims without progress after which a job fails. It is higher, because these attempts did not end: each may have killed its daemon. */
const MAX_CLAIMS = 2 * MAX_TRIES;
const MAX_RETRY_DELAY_MS = 60_000;

/** The argument of a handler. */
export interface Job<Input = unknown, Cursor = unknown> {
  tenant: Tenant;
  id: string;
  input: Input;
  /** Cursor of the last attempt; undefined at the beginning. */
  cursor: Cursor | undefined;
  done: number;
  /** The lease token. A handler that writes a cursor in its own transaction passes it and `lease_ms` to report_job. */
  token: number;
  lease_ms: number;
  /** Reports progress. Throws JobStopped if the daemon stops or has lost the lease; handlers must not catch it. */
  report(done?: number, total?: number, cursor?: Cursor): Promise<void>;
  /** Returns true if `report` would throw. */
  stopped(): boolean;
}

/** Runs a job and returns its result. After a crash it is called again with the last cursor. */
// biome-ignore lint/suspicious/noExplicitAny: each handler knows the types of its input and cursor
export type Handler = (job: Job<any, any>) => Promise<Record<string, unknown>>;

/** A handler of jobs that may continue although the user who started them has lost the right to. */
interface SelfAuthorizedHandler {
  run: Handler;
  continuesWithoutStarter(job: StartedBy): boolean;
}

/** Handlers by kind of job. */
export type Handlers = Record<string, Handler | SelfAuthorizedHandler>;

export interface Jobs {
  /** Starts to run due jobs of these kinds. */
  run(handlers: Handlers): void;
  /** Queues a job and starts it soon. */
  start(
    tenant: Tenant,
    kind: string,
    input: unknown,
    started_by: string,
    idempotency?: Idempotency | null,
  ): Promise<{ job_id: string; replay: boolean }>;
  /** Runs due jobs until none is left. A daemon checks for due jobs every five seconds anyway. */
  resume(): Promise<void>;
  /** Number of jobs that run here, and of tenants (of the first hundred) with a due job that had no slot at the last check. */
  figures(): { running: number; waiting: number };
  /** Stops and releases the running jobs, so that another daemon can continue them at once. */
  stop(): Promise<void>;
}

/** Ends a handler that must not continue. The job itself is resumed later. */
export class JobStopped extends Error {
  constructor() {
    super('the job was stopped');
    this.name = 'JobStopped';
  }
}

function problemDocumentOf(error: unknown, job_id: string) {
  const { type, title, status, detail } = problemBody(toProblem(error), job_id);
  return { type, title, status, detail };
}

const claimLimit = (job_id: string) => ({
  max_tries: MAX_CLAIMS,
  problem: problemDocumentOf(new Problem('internal', `The job was started ${MAX_CLAIMS} times without progress.`), job_id),
});

/** A job with the principal whose authority it runs under: an id, or a name of the service itself. */
type StartedBy = Pick<ClaimedJob, 'kind' | 'input' | 'started_by'>;

const outcomes = ['done', 'failed', 'retrying'] as const;

/** Maximum age of the last authorization check. */
const AUTHORITY_MS = 1_000;

export interface JobSettings {
  lease_ms: number;
  /** Maximum number of concurrent jobs on this daemon. */
  parallel: number;
  /** Returns true if the principal that started a job may still do so. */
  isStillAuthorized?: (tenant: Tenant, started_by: string) => Promise<boolean>;
  /** Called when an attempt has ended. */
  onEnded?: (of: { kind: string; outcome: (typeof outcomes)[number] }, by?: number) => void;
}

const never = () => false;

/** Returns a function that throws if the principal that started the job is no longer authorized. */
function authorizer(isStillAuthorized: () => Promise<boolean>): () => Promise<void> {
  let checkedAt = Number.NEGATIVE_INFINITY;
  return async () => {
    const now = performance.now();
    if (now - checkedAt < AUTHORITY_MS) return;
    checkedAt = now;
    if (!(await isStillAuthorized()))
      throw new Problem('forbidden', 'The user or key that started the job is no longer authorized.');
  };
}

/** Creates the job runner. It claims no jobs before `run`. */
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
      .catch((err: unknown) =>
        log.warn({ err, tenant_id, job_id }, 'a job could not be claimed or its result could not be stored'),
      )
      .finally(() => {
        running.delete(job_id);
        pollSoon();
      });
    running.set(job_id, work);
  }

  const pollSoon = () => {
    if (stopping || polling) return;
    polling = pollDue()
      .catch((err: unknown) => stopping || log.warn({ err }, 'polling for jobs failed'))
      .then(() => {
        polling = undefined;
      });
  };

  async function runJob(tenant: Tenant, job_id: string): Promise<void> {
    const claimed = await claimJob(tenant, job_id, PER_TENANT, lease_ms, claimLimit(job_id));
    if (!claimed) return;
    const handler = handlers?.[claimed.kind];
    // Another process runs these: a daemon of a newer release, or any daemon while erasures are replayed.
    if (!handler) return void (await releaseJob(tenant, job_id, claimed.token, MAX_RETRY_DELAY_MS));
    let hasLease = true;
    const isStopped = () => stopping || !hasLease;
    const { run, continuesWithoutStarter } =
      typeof handler === 'function' ? { run: handler, continuesWithoutStarter: never } : handler;
    const authorize = authorizer(async () => continuesWithoutStarter(claimed) || isStillAuthorized(tenant, claimed.started_by));
    const storeReport = async (report: Parameters<typeof reportJob>[3]) => {
      hasLease = hasLease && (await reportJob(tenant, job_id, claimed.token, report, lease_ms));
    };
    const beat = setInterval(() => {
      storeReport({}).catch((err: unknown) => log.warn({ err, job_id }, 'the lease of a job could not be renewed'));
    }, lease_ms / 3);
    beat.unref();
    const job: Job = {
      tenant,
      id: job_id,
      input: claimed.input,
      cursor: claimed.cursor ?? undefined,
      done: claimed.done,
      token: claimed.token,
      lease_ms,
      stopped: isStopped,
      report: async (done, total, cursor) => {
        await authorize();
        if (!isStopped()) await storeReport({ done, total, cursor });
        if (isStopped()) throw new JobStopped();
      },
    };
    try {
      await authorize();
      const result = await run(job);
      if (await finishJob(tenant, job_id, claimed.token, { result })) onEnded({ kind: claimed.kind, outcome: 'done' });
    } catch (error) {
      if (hasLease) await failOrRetry(tenant, job_id, claimed, error);
    } finally {
      clearInterval(beat);
    }
  }

  /** Schedules a retry if the error is transient, otherwise fails the job. */
  async function failOrRetry(tenant: Tenant, job_id: string, { kind, token, tries }: ClaimedJob, error: unknown): Promise<void> {
    if (error instanceof JobStopped || stopping) {
      await releaseJob(tenant, job_id, token, 0);
      return;
    }
    const { status, ...problem } = problemDocumentOf(error, job_id);
    const passing = status === 503 && tries < MAX_TRIES;
    log[passing ? 'warn' : 'error']({ err: error, tenant_id: tenant.id, job_id, kind, tries }, 'an attempt of a job failed');
    onEnded({ kind, outcome: passing ? 'retrying' : 'failed' });
    if (passing) await releaseJob(tenant, job_id, token, Math.min(250 * 2 ** tries, MAX_RETRY_DELAY_MS));
    else await finishJob(tenant, job_id, token, { problem: { ...problem, status } });
  }

  return {
    run: (all) => {
      handlers = all;
      // Creates the series at zero, so that a rate includes the first failure.
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
