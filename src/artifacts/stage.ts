import { createHash } from 'node:crypto';
import { findReplay } from '../db/idempotency.ts';
import type { Tenant } from '../db/tenant.ts';
import type { EventRow, Outcome, Unit } from '../db/unit.ts';
import { deleteUnlinked, exceedsQuota, insertArtifact, type NewArtifact } from './sql.ts';

export const sha256Of = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest();

/** Returns the event with a reference to an artifact, whose bytes become visible when the event is committed. */
export const withArtifact = (row: EventRow, artifact_id: string): EventRow => ({
  ...row,
  artifact_id,
  effects: { ...row.effects, artifacts: { artifact_id } },
});

/**
 * Commits a unit whose events name artifacts. Stores the bytes first, invisible, so that the counter of the log is not locked while megabytes are
 * written. Answers retries, and tenants that exceed their quota, before storing anything, so that they cannot fill the disk.
 */
export async function commitWithArtifacts(tenant: Tenant, artifacts: NewArtifact[], unit: Unit): Promise<Outcome> {
  if (artifacts.length === 0) return tenant.commit(unit);
  const predicted = await predictOutcome(tenant, unit);
  if (predicted) return predicted;
  const discard = () =>
    deleteUnlinked(
      tenant,
      artifacts.map(({ artifact_id }) => artifact_id),
    );
  try {
    for (const artifact of artifacts) await insertArtifact(tenant, artifact);
    const outcome = await tenant.commit(unit);
    if (outcome.status !== 'new') await discard();
    return outcome;
  } catch (error) {
    // the first error is reported; bytes that remain are deleted by the daily sweep
    if (wasRejected(error)) await discard().catch(() => undefined);
    throw error;
  }
}

/** Returns an outcome for which no bytes are needed: a replay or an exceeded quota. `commit_units` checks both again under the lock. */
const predictOutcome = (tenant: Tenant, { key, body, bytes }: Unit): Promise<Outcome | undefined> =>
  tenant.read(async (db) => {
    const replay = key === null || body === null ? undefined : await findReplay(db, tenant.id, { key, body });
    if (replay) return replay;
    return (await exceedsQuota(db, tenant.id, bytes)) ? { status: 'quota', seq: 0, count: 0, at: '' } : undefined;
  });

/**
 * Returns true if the database certainly rejected the unit. After a lost connection or a client-side timeout it may still commit and need its bytes.
 */
function wasRejected(error: unknown): boolean {
  const code = String((error as { code?: unknown }).code);
  return (
    code === 'write_queue_full' || code === 'pool_saturated' || code === 'pool_share' || /^(?!08|57P)\d[0-9A-Z]{4}$/.test(code)
  );
}
