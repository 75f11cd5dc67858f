import { setImmediate } from 'node:timers/promises';
import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import { eachPassage, type Passage, type PassageSource, SEARCHABLE_BYTES } from './passages.ts';
import { piecesOf, termsOf } from './terms.ts';

// Rebuilds the passages of a tenant from the log in batches; it may be interrupted and resumed. Events recorded meanwhile have passages
// already, which are rebuilt again when the rebuild reaches them.

const BATCH_EVENTS = 500;
/** Approximate text per transaction; a batch with many large outputs takes several. */
const BATCH_BYTES = SEARCHABLE_BYTES;
/** Passages built without yielding to the event loop: a rebuild may run in a serving daemon. */
const YIELD_EVERY = 200;

interface LoggedEvent extends PassageSource {
  seq: number;
  sensitivity: string;
  occurred_at: string;
  artifact_id: string | null;
  chunk_count: number;
  /** The hash that passage_source returned. */
  source: string;
}

interface Chunk extends Passage {
  seq: number;
  ordinal: number;
  occurred_at: string;
  /** An array of PostgreSQL. If absent, rebuild_chunks computes it. */
  terms?: string;
}

/** Rebuilds the passages of a tenant and returns the number of events examined. Until the end, responses report `partial_index`. */
export async function rebuildTenant(tenant: Tenant, progress: (seq: number) => unknown = () => undefined): Promise<number> {
  let seq = await start(tenant);
  for (let count = 0; ; ) {
    const events = await tenant.read((db) => readEvents(db, tenant.id, seq));
    if (events.length === 0) {
      await finish(tenant);
      return count;
    }
    const last = events.at(-1)!.seq;
    const chunks: Chunk[] = [];
    for (const event of events) await addChunks(tenant, event, chunks);
    const read = events.map(({ seq, source }) => ({ seq, source }));
    const written = await writeChunks(tenant, seq + 1, last, read, chunks);
    // an event was erased or renamed since it was read: read the batch again
    if (!written) continue;
    seq = last;
    count += events.length;
    await progress(seq);
  }
}

async function writeChunks(tenant: Tenant, from: number, to: number, read: object[], chunks: Chunk[]): Promise<boolean> {
  const pieces = piecesOf(chunks.map(({ text, header, occurred_at }) => ({ text, header, at: occurred_at })));
  let next = 0;
  for await (const list of termsOf(tenant, pieces))
    for (const terms of JSON.parse(`[${list}]`) as string[]) chunks[next++]!.terms = terms;
  const [row] = await tenant.call<{ written: boolean }>('select rebuild_chunks($1, $2, $3, $4, $5) as written', [
    tenant.id,
    from,
    to,
    JSON.stringify(read),
    JSON.stringify(chunks),
  ]);
  return row!.written;
}

/** Returns the seq after which to resume, which an interrupted rebuild has stored. */
const start = (tenant: Tenant): Promise<number> =>
  tenant.write(async (db) => {
    const row = await db.row<{ rebuilt_to: number }>(
      `insert into chunk_rebuilds (tenant_id) select tenant_id from tenants where tenant_id = $1
       on conflict (tenant_id) do update set rebuilt_to = chunk_rebuilds.rebuilt_to
       returning rebuilt_to`,
      [tenant.id],
    );
    if (!row) throw new Error(`the tenant ${tenant.id} does not exist`);
    return row.rebuilt_to;
  });

const finish = (tenant: Tenant) => tenant.write((db) => db.run('delete from chunk_rebuilds where tenant_id = $1', [tenant.id]));

/** Reads at most as much as one transaction writes, which bounds memory. */
const readEvents = (db: Db, tenant: string, after: number): Promise<LoggedEvent[]> =>
  db.rows<LoggedEvent>(
    `select e.seq, e.kind, e.actor_id, e.content, e.tags, e.sensitivity, e.occurred_at, e.artifact_id, e.chunk_count, passage_source(e) as source
     from (
       select n.*, sum(n.bytes) over (order by n.seq) - n.bytes as before
       from (
         select l.seq, least(l.byte_count + coalesce(a.byte_count, 0), $4) as bytes
         from events l
         left join artifacts a on a.tenant_id = l.tenant_id and a.artifact_id = l.artifact_id
         where l.tenant_id = $1 and l.seq > $2
         order by l.seq
         limit $3
       ) n
     ) s
     join events e on e.tenant_id = $1 and e.seq = s.seq
     where s.before + s.bytes <= $4 or s.before = 0
     order by e.seq`,
    [tenant, after, BATCH_EVENTS, BATCH_BYTES],
  );

const EVENT = { objects: ['content'], lists: ['tags'] };

async function addChunks(tenant: Tenant, event: LoggedEvent, chunks: Chunk[]): Promise<void> {
  // events recorded without passages have none: uploads, secret events, events of the service itself
  if (event.sensitivity === 'secret' || event.chunk_count === 0) return;
  if (tenant.faultOf(event, EVENT) !== undefined) return;
  const fullText = event.artifact_id === null ? undefined : await readText(tenant, event.artifact_id);
  let ordinal = 0;
  for (const passage of eachPassage(event, fullText)) {
    chunks.push({ seq: event.seq, ordinal, occurred_at: event.occurred_at, ...passage });
    ordinal += 1;
    if (ordinal % YIELD_EVERY === 0) await setImmediate();
  }
}

const readText = (tenant: Tenant, artifact_id: string): Promise<string | undefined> =>
  tenant.read(async (db) => {
    const row = await db.row<{ bytes: Buffer }>('select bytes from artifacts where tenant_id = $1 and artifact_id = $2', [
      tenant.id,
      artifact_id,
    ]);
    return row?.bytes.toString('utf8');
  });
