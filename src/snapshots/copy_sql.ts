import type { Visibility } from '../auth/index.ts';
import { type CommitRow, toOutcome } from '../db/commit.ts';
import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import type { EventRow, Outcome } from '../db/unit.ts';
import type { Idempotency } from '../http/route.ts';
import type { Moment, ObjectRow } from '../state/index.ts';
import type { Difference } from './copy_schemas.ts';

/** The channels and subjects that a caller can see, and the channels that it can write. `subjects` null: all. */
export interface Scope {
  channels: string[];
  subjects: string[] | null;
  writable: string[];
}

interface Restore {
  namespace: string | undefined;
  seq: number;
  scope: Scope;
  /** The event of a change, without what depends on the object. */
  event: EventRow;
}

const RESTORE = 'select status, outcome, at from restore_state($1, $2, $3, $4, $5, $6, $7, $8)';
const restoreValues = (tenant_id: string, { namespace, seq, scope, event }: Restore, key: Idempotency | null, dry: boolean) => [
  ...[tenant_id, namespace, seq, JSON.stringify(scope), JSON.stringify(event)],
  ...[key?.key, key?.body, dry],
];

export const restoreState = (tenant: Tenant, restore: Restore, idempotency: Idempotency | null): Promise<Outcome> =>
  tenant.change(RESTORE, restoreValues(tenant.id, restore, idempotency, false));

/** Returns the outcome that the restore would have, without writing anything. */
export const previewRestore = async (tenant: Tenant, restore: Restore): Promise<Outcome> =>
  toOutcome((await tenant.read((db) => db.row<CommitRow>(RESTORE, restoreValues(tenant.id, restore, null, true))))!);

export const forkState = (
  tenant: Tenant,
  {
    namespace,
    to,
    seq,
    scope,
    event,
  }: Omit<Restore, 'seq' | 'namespace'> & { namespace: string; to: string; seq: number | undefined },
  idempotency: Idempotency | null,
): Promise<Outcome> =>
  tenant.change('select status, outcome, at from fork_state($1, $2, $3, $4, $5, $6, $7, $8)', [
    ...[tenant.id, namespace, to, seq, JSON.stringify(scope), JSON.stringify(event)],
    ...[idempotency?.key, idempotency?.body],
  ]);

/** Returns the end of the log and the current time. */
export const readNow = async (db: Db, tenant_id: string): Promise<Moment> =>
  (await db.row<Moment>('select last_seq as seq, now() as at from tenant_clocks where tenant_id = $1', [tenant_id]))!;

/** Maximum number of objects that one page of a comparison looks at. */
const SCAN = 20_000;

interface Comparison {
  namespace: string | undefined;
  after: [namespace: string, key: string];
  from: Moment;
  to: Moment;
  limit: number;
}

/** Lists the objects that differ, by namespace and key. */
export const compareState = (
  db: Db,
  tenant_id: string,
  { namespace, after, from, to, limit }: Comparison,
  { channels, subjects }: Visibility,
): Promise<Difference[]> =>
  db.rows(
    `select d.namespace, d.key, case when d.from_version is null then 'created' when d.to_version is null then 'deleted' else 'changed' end as change,
       d.from_version, d.to_version
     from compare_state($1, $2, $3, $4, $5, ${SCAN}, $6, $7, $8, $9) d
     order by d.namespace, d.key
     limit $10`,
    [tenant_id, namespace, channels, subjects, after, from.seq, from.at, to.seq, to.at, limit],
  );

/** Returns the last object that `compareState` looks at if more follow; otherwise undefined. */
export const endOfScan = (
  db: Db,
  tenant_id: string,
  { namespace, after }: Pick<Comparison, 'namespace' | 'after'>,
  { channels, subjects }: Visibility,
): Promise<{ namespace: string; key: string } | undefined> =>
  db.row('select namespace, key from end_of_scan($1, $2, $3, $4, $5, $6)', [
    ...[tenant_id, namespace, channels, subjects, after],
    SCAN,
  ]);

/** Objects may have a megabyte each. */
const OBJECTS_PER_DUMP_PAGE = 50;

/** Reads the next keys with their objects at a moment. The version is null if there was none. */
export const dumpPage = (
  db: Db,
  tenant_id: string,
  { namespace, after, moment }: Pick<Comparison, 'namespace' | 'after'> & { moment: Moment },
): Promise<(ObjectRow & { version: number | null })[]> =>
  db.rows(
    `select x.namespace, x.key, o.body, o.tags, o.version, o.seq, o.created_at, o.updated_at, o.expires_at, o.channel, o.user_id, o.agent_id,
       o.session_id, o.project_id
     from (
       select namespace, key from state_objects
       where tenant_id = $1 and ($2::text is null or namespace = $2) and (namespace, key) > ($3::text, $4::text)
       order by namespace, key
       limit ${OBJECTS_PER_DUMP_PAGE}
     ) x
     left join lateral state_object_at($1, x.namespace, x.key, $5, $6) o on true
     order by x.namespace, x.key`,
    [tenant_id, namespace, ...after, moment.seq, moment.at],
  );
