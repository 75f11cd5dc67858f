import { type Visibility, visibilityValues, visible } from '../auth/index.ts';
import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import { Problem } from '../http/problem.ts';
import type { At, StateObject } from './schemas.ts';

/** An object as the database returns it. */
export interface ObjectRow extends Record<string, unknown> {
  namespace: string;
  key: string;
  body: unknown;
  tags: Record<string, string>;
  version: number;
  seq: number;
  created_at: string;
  updated_at: string;
  expires_at: string | null;
  channel: StateObject['channel'];
  user_id: string | null;
  agent_id: string | null;
  session_id: string | null;
  project_id: string | null;
}

export const columns = `o.namespace, o.key, o.body, o.tags, o.version, o.seq, o.created_at, o.updated_at, o.expires_at, o.channel, o.user_id, o.agent_id,
  o.session_id, o.project_id`;
export const LIVE = `o.life = 'live' and (o.expires_at is null or o.expires_at > now())`;

const optional = ['user_id', 'agent_id', 'session_id', 'project_id', 'expires_at'] as const;

export const objectOf = (row: ObjectRow): StateObject => {
  const { namespace, key, body, tags, version, seq: commit_seq, created_at, updated_at, channel } = row;
  const object: StateObject = { namespace, key, body, tags, version, commit_seq, created_at, updated_at, channel };
  for (const field of optional) if (row[field] !== null && row[field] !== undefined) object[field] = row[field];
  return object;
};

const READ_STATE = { text: 'select * from read_state($1, $2, $3, $4, $5, $6)', name: 'read_state', id: 'id' };
/** Larger bodies are not read in a batch, because parsing a batch of them would block the event loop. */
const MAX_BATCHED_BYTES = 4 * 1024;

/** Returns an object that is live now and visible. */
export async function findObject(
  tenant: Tenant,
  namespace: string,
  key: string,
  visibility: Visibility,
): Promise<ObjectRow | undefined> {
  const id = JSON.stringify([namespace, key]);
  const values = visibilityValues(visibility);
  const batched = await tenant.lookUp<ObjectRow>(READ_STATE, id, [...values, MAX_BATCHED_BYTES]);
  if (batched) return batched;
  const [row] = await tenant.call<ObjectRow>(READ_STATE.text, [tenant.id, [id], ...values, null], READ_STATE.name);
  return row;
}

export const findObjectAt = (db: Db, tenant: string, namespace: string, key: string, moment: Moment, visibility: Visibility) =>
  db.row<ObjectRow>(`select ${columns} from state_object_at($1, $5, $6, $7, $8) o where ${visible(2, 'o.')}`, [
    tenant,
    ...visibilityValues(visibility),
    namespace,
    key,
    moment.seq,
    moment.at,
  ]);

/** A resolved `at`: the seq, and the time at which expiry is judged. */
export interface Moment {
  seq: number;
  at: string | null;
}

/** Resolves `at`. Throws `not-found` for an unknown name, `gone` for a moment before the beginning of the log, and `validation` for the future. */
export async function momentOf(db: Db, tenant: string, { seq, time, name }: At): Promise<Moment> {
  const found = await db.row<{ seq: number | null; at: string | null; oldest_seq: number; last_seq: number }>(
    'select * from find_moment($1, $2, $3, $4)',
    [tenant, seq, time, name],
  );
  if (!found || found.seq === null) throw new Problem('not-found', 'There is no snapshot with this name.');
  if (found.seq > found.last_seq)
    throw new Problem('validation', `The log ends at seq ${found.last_seq}.`, {
      errors: [{ parameter: 'at', detail: 'must not be after the end of the log' }],
    });
  // a trim keeps what is current at its end, so the state just before the first event can still be read by its seq
  const first = time === undefined ? found.oldest_seq - 1 : found.oldest_seq;
  if (found.oldest_seq > 1 && found.seq < first)
    throw new Problem('gone', `The log begins at seq ${found.oldest_seq}.`, { members: { oldest_seq: found.oldest_seq } });
  return { seq: found.seq, at: found.at };
}

/** An event of a unit that was committed before, for a retry. `object` is null if the event deleted the object. */
export interface WrittenRow extends ObjectRow {
  kind: string;
  erased: boolean;
  was_live: boolean;
  redactions: number | null;
}

/** Reads what the changes of a committed unit wrote, as far as the caller may see it now. */
export const readWritten = (db: Db, tenant: string, seq: number, count: number, visibility: Visibility): Promise<WrittenRow[]> =>
  db.rows(
    `select e.kind, e.seq, e.erased_at is not null as erased, e.content ->> 'namespace' as namespace, e.content ->> 'key' as key,
       e.content -> 'body' as body, e.content -> 'tags' as tags, (e.content ->> 'version')::int as version,
       time_of(e.content ->> 'created_at') as created_at, e.created_at as updated_at, time_of(e.content ->> 'expires_at') as expires_at,
       e.channel, e.user_id, e.agent_id, nullif(e.session_id, 'state') as session_id, e.project_id, e.redactions,
       exists (
         select from state_versions v join state_versions p
           on p.tenant_id = $1 and p.namespace = v.namespace and p.key = v.key and p.version = v.version - 1 and p.change = 'put'
         where v.tenant_id = $1 and v.seq = e.seq) as was_live
     from events e
     where e.tenant_id = $1 and e.seq >= $5 and e.seq < $5 + $6::bigint and e.kind in ('state.put', 'state.deleted') and ${visible(2, 'e.')}
     order by e.seq`,
    [tenant, ...visibilityValues(visibility), seq, count],
  );

/** A version of an object. */
interface VersionRow {
  namespace: string;
  key: string;
  version: number;
  seq: number;
  change: 'put' | 'deleted' | 'expired' | 'erased';
  body: unknown;
  tags: Record<string, string> | null;
  created_at: string | null;
  updated_at: string;
  expires_at: string | null;
  channel: StateObject['channel'];
}

/** Lists the versions of an object before `before`, newest first, up to about 4 MiB. `more`: the page ended because of its size. */
export async function listVersions(
  db: Db,
  tenant: string,
  { namespace, key, before, limit }: { namespace: string; key: string; before: number | undefined; limit: number },
  visibility: Visibility,
) {
  const rows = await db.rows<VersionRow & { listed: number }>(
    `select v.namespace, v.key, v.version, v.seq, v.change, v.body, v.tags, v.created_at, v.updated_at, v.expires_at, v.channel, v.listed
     from (
       select v.*, e.content -> 'body' as body, e.content -> 'tags' as tags, time_of(e.content ->> 'created_at') as created_at,
         e.created_at as updated_at, o.channel, sum(e.byte_count) over (order by v.version desc) - e.byte_count as before, count(*) over () as listed
       from state_objects o
       join lateral (
         select w.* from state_versions w
         where w.tenant_id = $1 and w.namespace = o.namespace and w.key = o.key and ($7::int is null or w.version < $7)
         order by w.version desc
         limit $8
       ) v on true
       join events e on e.tenant_id = $1 and e.seq = v.seq
       where o.tenant_id = $1 and o.namespace = $5 and o.key = $6 and ${visible(2, 'o.')}
     ) v
     where v.before < 4194304
     order by v.version desc`,
    [tenant, ...visibilityValues(visibility), namespace, key, before, limit],
  );
  return { rows, more: rows.length > 0 && rows.length < rows[0]!.listed };
}

export const listExpired = (db: Db, tenant: string, limit: number) =>
  db.rows<{ namespace: string; key: string }>(
    `select o.namespace, o.key from state_objects o
     where o.tenant_id = $1 and o.life = 'live' and o.expires_at <= now() order by o.expires_at limit $2`,
    [tenant, limit],
  );

/** Returns tenants with objects that have expired and whose end is not recorded yet, except those in `except`. */
export const listTenantsWithExpired = async (any: Tenant, except: string[], limit: number): Promise<string[]> =>
  (await any.call<{ tenant_id: string }>('select list_expired_state($1, $2) as tenant_id', [except, limit])).map(
    ({ tenant_id }) => tenant_id,
  );
