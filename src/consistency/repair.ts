import type { Tenant } from '../db/tenant.ts';
import { rebuildTenant } from '../passages/index.ts';
import { type CheckResult, checkTenant } from './check.ts';
import { type FindUnreadable, repairClock, repairLog, repairRows, seqRanges } from './sql.ts';

// Rebuilds derived data from the log, and reports what cannot be rebuilt: the log itself, and data that exists only there.

const clockChecks = ['last_seq', 'oldest_seq', 'event_count', 'stored_bytes'];

export interface Repaired extends Record<string, unknown> {
  /** Checks that failed before and succeed now. */
  repaired: string[];
  /** Checks that still fail, because their data cannot be derived. */
  remaining: string[];
  report: CheckResult['report'];
}

export async function repairTenant(
  tenant: Tenant,
  finders: FindUnreadable[],
  progress: (done: number) => unknown,
): Promise<Repaired> {
  const before = await checkTenant(tenant, finders, progress);
  const wrong = new Set(before.report.checks.filter(({ ok }) => !ok).map(({ name }) => name));
  await repairRows(tenant, before.wrongNouns);
  const rebuilt = before.wrongNouns.has('passages') || before.logState.rebuilding;
  if (rebuilt) await rebuildTenant(tenant, progress);
  if (rebuilt || before.wrongNouns.size > 0) await repairRanges(tenant, before, progress);
  const recounted = rebuilt ? await checkTenant(tenant, finders, progress) : before;
  if (clockChecks.some((name) => wrong.has(name)))
    await repairClock(
      tenant,
      Math.max(recounted.logState.last_seq, recounted.logState.highest ?? 0),
      recounted.events,
      recounted.bytes,
    );
  const { report } = await checkTenant(tenant, finders, progress);
  const remaining = report.checks.filter(({ ok }) => !ok).map(({ name }) => name);
  return { repaired: [...wrong].filter((name) => !remaining.includes(name)).sort(), remaining, report };
}

async function repairRanges(tenant: Tenant, { logState }: CheckResult, progress: (done: number) => unknown): Promise<void> {
  for await (const { from, to } of seqRanges(tenant, logState.oldest_seq, logState.last_seq)) {
    await repairLog(tenant, from, to);
    await progress(from);
  }
}
