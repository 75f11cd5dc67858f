import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import type { Idempotency } from '../http/route.ts';
import type { Snapshot, SnapshotBody } from './schemas.ts';

const columns = 's.name, s.seq, s.created_at, s.expires_at';

/** Creates a snapshot at the end of the log. `replay`: an earlier request with this Idempotency-Key created it. */
export const createSnapshot = async (
  db: Db,
  tenant_id: string,
  { name, expires_in }: SnapshotBody,
  idempotency: Idempotency | null,
): Promise<Snapshot & { replay: boolean }> => {
  const created = await db.row<Snapshot & { replay: boolean }>(
    `select ${columns}, s.replay from create_snapshot($1, $2, $3, $4, $5) s`,
    [tenant_id, name, expires_in, idempotency?.key, idempotency?.body],
  );
  return created!;
};

export const listSnapshots = (db: Db, tenant_id: string, after: string, limit: number): Promise<Snapshot[]> =>
  db.rows(
    `select ${columns} from snapshots s
     where s.tenant_id = $1 and s.name > $2 and s.expires_at > now()
     order by s.name
     limit $3`,
    [tenant_id, after, limit],
  );

/** Returns 0 if there is no such snapshot. */
export const deleteSnapshot = (db: Db, tenant_id: string, name: string): Promise<number> =>
  db.run('delete from snapshots where tenant_id = $1 and name = $2 and expires_at > now()', [tenant_id, name]);

export const sweepSnapshots = (tenant: Tenant): Promise<number> =>
  tenant.write((db) => db.run('delete from snapshots where tenant_id = $1 and expires_at <= now()', [tenant.id]));
