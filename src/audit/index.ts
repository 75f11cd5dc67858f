import type { Caller } from '../auth/index.ts';
import type { Tenant, Tenants } from '../db/tenant.ts';
import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import type { Trail } from '../http/trail.ts';
import type { Logger } from '../log.ts';
import { type Appender, createAppender } from './append.ts';
import { type Draft, ERASED } from './chain.ts';
import { isolation } from './isolation.ts';
import type { AuditKeys } from './keys.ts';
import { auditRoutes } from './routes.ts';
import { blankAudit, countNaming, findNaming, type Subject } from './sql.ts';
import { createTrail } from './trail.ts';

export { type AuditKeys, openKeys } from './keys.ts';
export { headOf, type KeptHead, type Verdict, verifyTenant } from './verify.ts';

/** What someone other than a request has to say: a job, a sweeper, a command. `about`: ids and figures, never secrets or content. */
export interface Said {
  /** One that a door lists. */
  action: string;
  /** What says it: `job`, or the command. */
  route: string;
  principal_id: string;
  about?: Record<string, unknown>;
}

/** `begun_by`: a keyed hash, which stands where the name may not. */
interface Eraser {
  job_id: string;
  begun_by: string;
}

export interface Audit {
  trail: Trail<Caller>;
  /** Resolves when it is on record. */
  say(tenant: string, said: Said): Promise<void>;
  /**
   * Blanks the entries whose payload names the subject. The entry that says so, and for whom, is written first, so that a stop between
   * the two leaves nothing unexplained; done again, it goes on. Returns how many were blanked.
   */
  eraseSubject(tenant: Tenant, whom: Subject, by: Eraser): Promise<number>;
  /** How many that would be. */
  countSubject(tenant: Tenant, whom: Subject): Promise<number>;
  waiting(): number;
  stop(): Promise<void>;
}

export const feature: Feature = {
  routes: ({ registry }) => auditRoutes(registry.actions),
  figures: ({ metrics, audit }) =>
    metrics.gauge('audit_entries_waiting', 'Entries of the audit that are not written yet', audit.waiting),
  audit: ['private.read', 'refused', 'audit.erased'],
  isolation,
  examples: () => readExamples(import.meta.dirname),
};

const STOP_WAIT_MS = 3000;
const ERASED_AT_ONCE = 1000;

/** `keys`: asked for when the first entry is written. */
export function openAudit(keys: () => AuditKeys, window_ms: number, tenants: Tenants, log: Logger): Audit {
  let known: AuditKeys | undefined;
  const appender = createAppender(tenants, () => (known ??= keys()), log);
  const trail = createTrail(appender, tenants, log);
  const flush = () => trail.flush().catch((err: unknown) => log.warn({ err }, 'counted refusals wait for the next minute'));
  const timer = setInterval(() => void flush(), window_ms).unref();
  return {
    trail,
    say: (tenant, said) => appender.append(tenant, draftOf(said)),
    eraseSubject: async (tenant, whom, by) => {
      // what was counted before is written before
      await (await trail.flush()).written;
      return eraseSubject(appender, tenant, whom, by);
    },
    countSubject: (tenant, whom) => tenant.read((db) => countNaming(db, tenant.id, whom)),
    waiting: appender.waiting,
    stop: async () => {
      clearInterval(timer);
      await flush();
      for (const { tenant, draft } of await appender.stop(STOP_WAIT_MS))
        log.error({ tenant_id: tenant, audit: draft }, 'an audit entry was lost');
    },
  };
}

/** For a command: one entry, without the rest of the service. */
export async function sayOnce(keys: () => AuditKeys, tenants: Tenants, tenant: string, said: Said, log: Logger): Promise<void> {
  const appender = createAppender(tenants, keys, log);
  await appender.append(tenant, draftOf(said));
}

const draftOf = ({ action, route, principal_id, about = {} }: Said): Draft => ({
  action,
  route,
  status: 0,
  count: 1,
  payload: { principal_id, principal_kind: 'service', about },
});

async function eraseSubject(appender: Appender, tenant: Tenant, whom: Subject, { job_id, begun_by }: Eraser): Promise<number> {
  let blanked = 0;
  for (let after = 0; ; ) {
    const seqs = await tenant.read((db) => findNaming(db, tenant.id, whom, after, ERASED_AT_ONCE));
    if (seqs.length > 0) {
      const payload = { principal_id: job_id, principal_kind: 'service', begun_by, seqs };
      await appender.append(tenant.id, { action: ERASED, route: 'erasure', status: 0, count: seqs.length, payload });
      blanked += await blankAudit(tenant, seqs);
    }
    if (seqs.length < ERASED_AT_ONCE) return blanked;
    after = seqs.at(-1)!;
  }
}
