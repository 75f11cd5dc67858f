import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import { type Passaged, passagesOf } from './passages.ts';

// Passages are derived: this makes them again from the log, a batch at a time, and may be stopped and run again. The log goes on
// meanwhile; what is recorded during a rebuild brings its own passages, which are made once more when the rebuild gets there.

const BATCH_EVENTS = 500;
/** Full texts read for one step; a batch with many large outputs is done in several. */
const BATCH_BYTES = 32 * 1024 * 1024;

interface LoggedEvent extends Passaged {
  seq: number;
  sensitivity: string;
  artifact_id: string | null;
  chunk_count: number;
  byte_count: number | null;
}

/** Rebuilds one tenant's passages; returns how many events were looked at. Until the end, answers say `partial_index`. */
export async function rebuildTenant(tenant: Tenant, progress: (seq: number) => unknown = () => undefined): Promise<number> {
  let seq = await start(tenant);
  for (let count = 0; ; ) {
    const events = await tenant.read((db) => readEvents(db, tenant.id, seq));
    if (events.length === 0) {
      await finish(tenant);
      return count;
    }
    const last = events.at(-1)!.seq;
    const chunks = [];
    for (const event of events) chunks.push(...(await chunksOf(tenant, event)));
    await tenant.call('select rebuild_chunks($1, $2, $3, $4)', [tenant.id, seq + 1, last, JSON.stringify(chunks)]);
    seq = last;
    count += events.length;
    await progress(seq);
  }
}

/** Where to go on: a rebuild that was stopped left its place. */
const start = (tenant: Tenant): Promise<number> =>
  tenant.write(async (db) => {
    const row = await db.row<{ rebuilt_to: number }>(
      `insert into chunk_rebuilds (tenant_id) select tenant_id from tenants where tenant_id = $1
       on conflict (tenant_id) do update set rebuilt_to = chunk_rebuilds.rebuilt_to
       returning rebuilt_to`,
      [tenant.id],
    );
    if (!row) throw new Error(`there is no tenant ${tenant.id}`);
    return row.rebuilt_to;
  });

const finish = (tenant: Tenant) => tenant.write((db) => db.run('delete from chunk_rebuilds where tenant_id = $1', [tenant.id]));

async function readEvents(db: Db, tenant: string, after: number): Promise<LoggedEvent[]> {
  const rows = await db.rows<LoggedEvent>(
    `select e.seq, e.kind, e.actor_id, e.content, e.tags, e.sensitivity, e.artifact_id, e.chunk_count, a.byte_count
     from events e
     left join artifacts a on a.tenant_id = e.tenant_id and a.artifact_id = e.artifact_id
     where e.tenant_id = $1 and e.seq > $2
     order by e.seq
     limit $3`,
    [tenant, after, BATCH_EVENTS],
  );
  const batch: LoggedEvent[] = [];
  for (let bytes = 0, i = 0; i < rows.length && (i === 0 || bytes < BATCH_BYTES); i += 1) {
    bytes += rows[i]!.byte_count ?? 0;
    batch.push(rows[i]!);
  }
  return batch;
}

const EVENT = { objects: ['content'], lists: ['tags'] };

async function chunksOf(tenant: Tenant, event: LoggedEvent) {
  // what was recorded without any (an uploaded artifact, a secret, what the service itself says) has none
  if (event.sensitivity === 'secret' || event.chunk_count === 0) return [];
  if (tenant.faultOf(event, EVENT) !== undefined) return [];
  const fullText = event.artifact_id === null ? undefined : await readText(tenant, event.artifact_id);
  return passagesOf(event, fullText).map((passage, ordinal) => ({ seq: event.seq, ordinal, ...passage }));
}

const readText = (tenant: Tenant, artifact_id: string): Promise<string | undefined> =>
  tenant.read(async (db) => {
    const row = await db.row<{ bytes: Buffer }>('select bytes from artifacts where tenant_id = $1 and artifact_id = $2', [
      tenant.id,
      artifact_id,
    ]);
    return row?.bytes.toString('utf8');
  });
