import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { Tenant, Tenants } from '../db/tenant.ts';
import { Problem } from '../http/problem.ts';
import { newId } from '../id.ts';
import type { Seal } from '../seal.ts';
import { compareTimes } from '../time.ts';
import type { DeletionNeeds } from './deletion.ts';
import { type ControlEntry, openLedger } from './ledger.ts';
import { findTenant } from './replay.ts';

// Changes that a restored backup must not undo, such as the kill of an agent, are entries of the ledger too.

const PURPOSE = 'controls';
/** Changes that a daemon knows to be in the ledger. */
const MAX_KNOWN = 10_000;

const changeSchema = z.looseObject({ kind: z.string(), id: z.string() });

/** A change of what may be done. A replay repeats the last of the changes with the same `kind` and `id`. */
export type ControlChange = z.output<typeof changeSchema>;

/** Repeats changes of one kind in a restored database. Must be repeatable. */
export type ReplayChange = (tenant: Tenant, change: ControlChange) => Promise<unknown>;

const aad = (tenant_id: string, control_id: string) => `${tenant_id}/${control_id}`;

/**
 * Returns a function that records a committed change; `at` is the time of its commit. It throws `unavailable` if the ledger cannot be
 * written. Without a key, it only warns. The change of a thing that it has recorded last, at this time, is not recorded again.
 */
export function controlRecorder({ seal, ledger, warn }: DeletionNeeds) {
  const recorded = new LRUCache<string, string>({ max: MAX_KNOWN });
  return (tenant_id: string, at: string, change: ControlChange): void => {
    const thing = JSON.stringify([tenant_id, change.kind, change.id]);
    if (recorded.get(thing) === at) return;
    if (!seal) {
      warn({ tenant_id, kind: change.kind }, 'ENCRYPTION_KEY is not set; a restored backup would undo this change');
      return;
    }
    const control_id = newId('del');
    const sealed = seal.seal(JSON.stringify(change), PURPOSE, aad(tenant_id, control_id));
    try {
      openLedger(ledger).append({ at, kind: 'control', control_id, tenant_id, subject: sealed });
    } catch (cause) {
      const detail =
        'The change is in force, but it could not be written to the ledger that protects it from a restore. Repeat the request.';
      throw new Problem('unavailable', detail, { cause, headers: { 'Retry-After': '60' } });
    }
    recorded.set(thing, at);
  };
}

export interface ReplayedControl {
  tenant_id: string;
  control_id: string;
  outcome: string;
  /** The outcome is an error. */
  failed: boolean;
}

/** Repeats the last change of each thing that the entries of all ledgers name. */
export async function replayControls(
  tenants: Tenants,
  seal: Seal,
  replays: Record<string, ReplayChange>,
  entries: ControlEntry[],
): Promise<ReplayedControl[]> {
  const done: ReplayedControl[] = [];
  const last = new Map<string, { entry: ControlEntry; change: ControlChange }>();
  for (const entry of entries.toSorted((a, b) => compareTimes(a.at, b.at))) {
    try {
      const change = openChange(seal, entry);
      last.set(JSON.stringify([entry.tenant_id, change.kind, change.id]), { entry, change });
    } catch (error) {
      done.push(outcomeOf(entry, `not repeated: ${(error as Error).message}`, true));
    }
  }
  for (const { entry, change } of last.values()) {
    const repeated = repeat(tenants(entry.tenant_id), replays, entry, change);
    done.push(
      await repeated.then(
        (outcome) => outcomeOf(entry, outcome, false),
        (error: Error) => outcomeOf(entry, `not repeated: ${error.message}`, true),
      ),
    );
  }
  return done;
}

const outcomeOf = ({ tenant_id, control_id }: ControlEntry, outcome: string, failed: boolean): ReplayedControl => ({
  tenant_id,
  control_id,
  outcome,
  failed,
});

const openChange = (seal: Seal, { subject, tenant_id, control_id }: ControlEntry): ControlChange =>
  changeSchema.parse(JSON.parse(seal.open(subject, PURPOSE, aad(tenant_id, control_id)).toString()));

async function repeat(tenant: Tenant, replays: Record<string, ReplayChange>, entry: ControlEntry, change: ControlChange) {
  const current = await findTenant(tenant, entry.at);
  if (!current || current.state === 'deleting') return 'no such tenant';
  if (!current.is_same) return 'skipped: the tenant of this name was registered later';
  const replay = replays[change.kind];
  if (!replay) throw new Error(`this release knows no changes of the kind ${change.kind}`);
  await replay(tenant, change);
  return `${change.kind} repeated`;
}
