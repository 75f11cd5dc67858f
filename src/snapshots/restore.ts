import { channels } from '../auth/index.ts';
import type { Tenant } from '../db/tenant.ts';
import { type EventRow, serviceEventOf } from '../db/unit.ts';
import { assertWritten } from '../http/outcome.ts';
import type { Idempotency } from '../http/route.ts';
import { type At, type Moment, momentOf, objectOf, type StateObject } from '../state/index.ts';
import type { RestoreResult } from './copy_schemas.ts';
import { dumpPage, previewRestore, readNow, restoreState, type Scope } from './copy_sql.ts';

export interface RestoreRequest {
  at: At;
  /** Undefined: the whole tenant. */
  namespace?: string | undefined;
  dry_run: boolean;
}

/** Returns the event of a change, without what SQL adds: the object with its audience, body and version. */
export const eventBy = ({ type, id }: { type: string; id: string }): EventRow =>
  serviceEventOf({
    ...{ kind: 'state.put', session_id: '', channel: 'team', content: {}, effects: {} },
    ...{ actor_type: type, actor_id: id },
  });

/** Restores the objects in the scope, or only counts what would change. Throws the problem if the restore is refused. */
export async function restoreAt(
  tenant: Tenant,
  { at, namespace, dry_run }: RestoreRequest,
  { scope, event, idempotency }: { scope: Scope; event: EventRow; idempotency: Idempotency | null },
): Promise<{ result: RestoreResult; seq: number; replay: boolean }> {
  const { seq } = await tenant.read((db) => momentOf(db, tenant.id, at));
  const restore = { namespace, seq, scope, event };
  const outcome = dry_run ? await previewRestore(tenant, restore) : await restoreState(tenant, restore, idempotency);
  assertWritten(outcome);
  return { result: outcome.made!['snapshots/0'] as RestoreResult, seq, replay: outcome.status === 'replay' };
}

/** The operator sees and writes all objects. */
const everything: Scope = { channels: [...channels], subjects: null, writable: [...channels] };

/** Restores state of a tenant for the operator. */
export const restoreByOperator = async (tenant: Tenant, request: RestoreRequest): Promise<RestoreResult> => {
  const event = eventBy({ type: 'agent', id: 'agent-memory' });
  return (await restoreAt(tenant, request, { scope: everything, event, idempotency: null })).result;
};

/** Yields the objects of a namespace, or of all, by namespace and key, as they are now or were at a moment. Throws `gone` if a trim passes the moment. */
export async function* dumpState(
  tenant: Tenant,
  { at, namespace }: { at: At | undefined; namespace: string | undefined },
): AsyncGenerator<StateObject> {
  const moment: Moment = await tenant.read((db) => (at ? momentOf(db, tenant.id, at) : readNow(db, tenant.id)));
  for (let after: [string, string] | undefined = ['', '']; after !== undefined; ) {
    const page = await tenant.snapshot(async (db) => {
      await momentOf(db, tenant.id, { seq: moment.seq });
      return dumpPage(db, tenant.id, { namespace, after: after!, moment });
    });
    for (const row of page) if (row.version !== null) yield objectOf(row);
    const last = page.at(-1);
    after = last && [last.namespace, last.key];
  }
}
