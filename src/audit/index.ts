import type { Caller } from '../auth/index.ts';
import type { Tenant, Tenants } from '../db/tenant.ts';
import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import type { AuditRecorder } from '../http/audit.ts';
import type { Logger } from '../log.ts';
import { type Appender, createAppender } from './append.ts';
import { type EntryInput, ERASED } from './chain.ts';
import { isolation } from './isolation.ts';
import type { AuditKeys } from './keys.ts';
import { createRecorder } from './recorder.ts';
import { auditRoutes } from './routes.ts';
import { blankAudit, countEntriesAbout, findEntriesAbout, type Subject } from './sql.ts';

export { type AuditKeys, openKeys } from './keys.ts';
export { headOf, type SavedHead, type Verification, verifyTenant } from './verify.ts';

/** An entry that is not caused by a request, but by a job, a sweep or a command. `about` has ids and numbers, never secrets or content. */
export interface ServiceEntry {
  /** One of the actions that a feature declares. */
  action: string;
  /** `job`, or the command. */
  route: string;
  principal_id: string;
  about?: Record<string, unknown>;
}

/** `begun_by`: a keyed hash of who began the erasure, because the name itself may have to be erased. */
interface ErasureOrigin {
  job_id: string;
  begun_by: string;
}

export interface Audit {
  recorder: AuditRecorder<Caller>;
  /** Resolves when the entry is written. */
  record(tenant: string, entry: ServiceEntry): Promise<void>;
  /**
   * Blanks the entries whose payload names the subject. An entry that lists them is written first, so that an interruption leaves no
   * unexplained blank entry. Repeatable. Returns the number of blanked entries.
   */
  eraseSubject(tenant: Tenant, subject: Subject, by: ErasureOrigin): Promise<number>;
  /** Returns the number of entries that `eraseSubject` would blank. */
  countSubject(tenant: Tenant, subject: Subject): Promise<number>;
  waiting(): number;
  stop(): Promise<void>;
}

export const feature: Feature = {
  routes: ({ registry }) => auditRoutes(registry.actions),
  figures: ({ metrics, audit }) =>
    metrics.gauge('audit_entries_waiting', 'Entries of the audit that are not written yet', audit.waiting),
  audit: ['private.read', 'refused', 'audit.erased'],
  isolation,
  tags: { Audit: 'Logins, rejected requests and administrative actions.' },
  examples: () => readExamples(import.meta.dirname),
};

const STOP_WAIT_MS = 3000;
const ERASE_BATCH = 1000;

/** `keys` is called when the first entry is written. */
export function openAudit(keys: () => AuditKeys, window_ms: number, tenants: Tenants, log: Logger): Audit {
  let known: AuditKeys | undefined;
  const appender = createAppender(tenants, () => (known ??= keys()), log);
  const recorder = createRecorder(appender, tenants, log);
  const flush = () =>
    recorder
      .flush()
      .catch((err: unknown) => log.warn({ err }, 'counted refusals could not be written; retrying in the next window'));
  const timer = setInterval(() => void flush(), window_ms).unref();
  return {
    recorder,
    record: (tenant, entry) => appender.append(tenant, inputOf(entry)),
    eraseSubject: async (tenant, subject, by) => {
      // refusals that name the subject are written first, so that they are blanked too
      await (await recorder.flush()).written;
      return eraseSubject(appender, tenant, subject, by);
    },
    countSubject: (tenant, subject) => tenant.read((db) => countEntriesAbout(db, tenant.id, subject)),
    waiting: appender.waiting,
    stop: async () => {
      clearInterval(timer);
      await flush();
      for (const { tenant, input } of await appender.stop(STOP_WAIT_MS))
        log.error({ tenant_id: tenant, audit: input }, 'an audit entry was lost');
    },
  };
}

/** Writes one entry from a command, without starting the service. */
export async function recordOnce(
  keys: () => AuditKeys,
  tenants: Tenants,
  tenant: string,
  entry: ServiceEntry,
  log: Logger,
): Promise<void> {
  const appender = createAppender(tenants, keys, log);
  await appender.append(tenant, inputOf(entry));
}

const inputOf = ({ action, route, principal_id, about = {} }: ServiceEntry): EntryInput => ({
  action,
  route,
  status: 0,
  count: 1,
  payload: { principal_id, principal_kind: 'service', about },
});

async function eraseSubject(
  appender: Appender,
  tenant: Tenant,
  subject: Subject,
  { job_id, begun_by }: ErasureOrigin,
): Promise<number> {
  let blanked = 0;
  for (let after = 0; ; ) {
    const seqs = await tenant.read((db) => findEntriesAbout(db, tenant.id, subject, after, ERASE_BATCH));
    if (seqs.length > 0) {
      const payload = { principal_id: job_id, principal_kind: 'service', begun_by, seqs };
      await appender.append(tenant.id, { action: ERASED, route: 'erasure', status: 0, count: seqs.length, payload });
      blanked += await blankAudit(tenant, seqs);
    }
    if (seqs.length < ERASE_BATCH) return blanked;
    after = seqs.at(-1)!;
  }
}
