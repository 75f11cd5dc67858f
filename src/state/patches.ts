import { setTimeout as sleep } from 'node:timers/promises';
import { type Caller, requireSubjectFor, visibilityById } from '../auth/index.ts';
import { findReplay } from '../db/idempotency.ts';
import { assertWritten } from '../http/outcome.ts';
import { Problem } from '../http/problem.ts';
import type { Idempotency } from '../http/route.ts';
import type { KeyLocks } from './key_locks.ts';
import { applyPatch, type Patch, type PatchLimits } from './patch.ts';
import { findObject } from './sql.ts';
import { type Change, commitChanges, type Put, Stale, type Target, type WriteLimits } from './write.ts';
import { replayOf } from './written.ts';

// A patch is applied here and not in the commit: the result must be checked and screened for secrets as a whole, which takes long and is not done in SQL
// while the clock of the tenant is locked. The write requires the version that the patch was applied to, and is repeated if that has changed.

/** Tries of a change that contains patches; each failed try means that another write of the object succeeded. */
const MAX_TRIES = 20;
const MAX_PAUSE_MS = 50;

export interface PatchChange extends Target {
  op: 'patch';
  patch: Patch;
}

export type Limits = WriteLimits & PatchLimits;

/** Writes changes, among them patches, in one unit. */
export async function writeChanges(
  caller: Caller,
  changes: (Change | PatchChange)[],
  idempotency: Idempotency | null,
  limits: Limits,
  locks: KeyLocks,
) {
  const { tenant } = caller;
  const names = changes.flatMap((change) =>
    change.op === 'patch' ? [JSON.stringify([tenant.id, change.namespace, change.key])] : [],
  );
  if (names.length === 0) return commitChanges(caller, changes as Change[], idempotency, limits);
  return locks.run(names, () =>
    retryStale(async () => {
      const known = idempotency && (await tenant.read((db) => findReplay(db, tenant.id, idempotency)));
      if (!known) return commitChanges(caller, await resolvePatches(caller, changes, limits), idempotency, limits);
      assertWritten(known);
      return replayOf(caller, known, changes.length);
    }),
  );
}

async function retryStale<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1)
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Stale) || tries === MAX_TRIES) throw error;
      await sleep(Math.random() * MAX_PAUSE_MS);
    }
}

/** The body and tags that a key has after earlier changes of the request; null if they deleted it. */
type Content = Pick<Put, 'body' | 'tags'> | null;

/** Replaces each patch by a put of its result. */
async function resolvePatches(caller: Caller, changes: (Change | PatchChange)[], limits: Limits): Promise<Change[]> {
  const contents = new Map<string, Content>();
  const resolved: Change[] = [];
  let bytes = 0;
  for (const change of changes) {
    const name = JSON.stringify([change.namespace, change.key]);
    const result =
      change.op === 'patch'
        ? await patched(caller, change, contents.get(name), limits).catch(async (error) => {
            throw await firstFault(caller, resolved, change, error, limits);
          })
        : change;
    if (change.op === 'patch') bytes += Buffer.byteLength(JSON.stringify((result as Put).body));
    if (bytes > limits.maxTotalBytes)
      throw new Problem('too-large', `The results of all patches may have at most ${limits.maxTotalBytes} bytes together.`);
    contents.set(name, result.op === 'put' ? result : null);
    resolved.push(result);
  }
  return resolved;
}

/**
 * Returns why a request fails whose patch cannot be applied to what earlier changes of the request would write: `fault`, unless one of these is refused
 * itself. The last change that it sends matches no version, so that nothing is written.
 */
async function firstFault(
  caller: Caller,
  earlier: Change[],
  change: PatchChange,
  fault: unknown,
  limits: Limits,
): Promise<unknown> {
  if (earlier.length === 0 || !(fault instanceof Problem)) return fault;
  const { namespace, key, caller: actor, pointer } = change;
  const last: Change = { op: 'delete', match: [], namespace, key, caller: actor, pointer };
  const refusal: unknown = await commitChanges(caller, [...earlier, last], null, limits).catch((error) => error);
  return refusal instanceof Problem && refusal.errors?.[0]?.pointer === pointer ? fault : refusal;
}

/** Returns the put for a patch of `content`, or of the stored object if no earlier change of the request is about it. */
async function patched({ tenant }: Caller, change: PatchChange, content: Content | undefined, limits: Limits): Promise<Put> {
  const { patch, caller, pointer, namespace, key } = change;
  const stored = content === undefined ? await findObject(tenant, namespace, key, visibilityById(caller.principal)) : undefined;
  const current = content ?? stored;
  if (!current)
    throw new Problem('not-found', 'There is no object with this key.', {
      errors: [{ pointer, detail: 'must name an existing object' }],
    });
  if (stored) requireSubjectFor(caller.principal, stored);
  const body = applyPatch(current.body, patch, limits, patchPointer(change));
  const { match, namespace: _, ...rest } = change;
  return {
    ...rest,
    ...{ op: 'put', namespace, match, body, tags: current.tags, keepExpiry: true },
    ...(stored && { expected: stored.version }),
  };
}

/** The body of a PATCH is the patch itself; an operation of a batch has it in a member. */
const patchPointer = ({ pointer, patch }: PatchChange): string =>
  pointer === '#' ? '#' : `${pointer}/${'merge' in patch ? 'merge' : 'patch'}`;
