import { type Visibility, visibilityValues, visible } from '../auth/index.ts';
import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import type { Counter } from './schemas.ts';

const columns = 'c.counter_id, c.seq, c.name, c.value, c.channel, c.made_by, c.expires_at';
const LIVE = '(c.expires_at is null or c.expires_at > now())';

export const findCounter = (db: Db, tenant: string, counter_id: string, visibility: Visibility): Promise<Counter | undefined> =>
  db.row(
    `select ${columns} from counters c
     where c.tenant_id = $1 and c.counter_id = $5 and ${visible(2, 'c.')} and ${LIVE}`,
    [tenant, ...visibilityValues(visibility), counter_id],
  );

export const listCounters = (db: Db, tenant: string, visibility: Visibility, after: string, limit: number): Promise<Counter[]> =>
  db.rows(
    `select ${columns} from counters c
     where c.tenant_id = $1 and c.counter_id > $5 and ${visible(2, 'c.')} and ${LIVE}
     order by c.counter_id
     limit $6`,
    [tenant, ...visibilityValues(visibility), after, limit],
  );

export const sweepCounters = (tenant: Tenant, limit: number): Promise<number> =>
  tenant.write((db) =>
    db.run(
      `delete from counters
       where tenant_id = $1 and counter_id in (
         select counter_id from counters where tenant_id = $1 and expires_at <= now() limit $2)`,
      [tenant.id, limit],
    ),
  );
