import type { Figure } from './report.ts';
import type { World } from './world.ts';

// Measures the storage of the tenants' tables and indexes, and which indexes the requests of a client use.

const EVENTS = 100_000;
const BATCH = 500;
/** Size of `content` as JSON, in bytes. */
const CONTENT_BYTES = 170;
const SESSION_EVENTS = 100;
const CALLS = 50;

interface Relation {
  name: string;
  of: string;
  bytes: number;
  scans: number | null;
}

export async function measureStorage(world: World): Promise<Figure[]> {
  const headers = await world.tenant('storage');
  const { url } = await world.daemon('one');
  const ids = await record(url, headers);
  await world.sql((client) => client.query('vacuum analyze'));
  for (let i = 0; i < CALLS; i += 1) await request(url, headers, ids[i * 7]!, i);
  const relations = await measure(world);
  console.log(tableOf(relations));
  const bytes = relations.reduce((sum, relation) => sum + relation.bytes, 0);
  const rounded = Math.round(bytes / EVENTS);
  return [
    { part: 'storage', name: `storage of an event of ${CONTENT_BYTES} bytes`, value: rounded, unit: 'bytes', goal: { max: 900 } },
  ];
}

/** Records the events through the API, so that the rows are realistic. Returns the ids of the events of the first batch. */
async function record(url: string, headers: Record<string, string>): Promise<string[]> {
  const first: string[] = [];
  for (let from = 0; from < EVENTS; from += BATCH) {
    const events = Array.from({ length: BATCH }, (_, i) => eventOf(from + i));
    const { data } = await send<{ data: { event_id: string }[] }>(url, headers, '/v1/events', { events });
    if (from === 0) first.push(...data.map(({ event_id }) => event_id));
  }
  return first;
}

const eventOf = (n: number) => ({
  session_id: `session-${Math.floor(n / SESSION_EVENTS)}`,
  channel: n % 4 === 0 ? 'private' : 'team',
  actor: n % 2 === 0 ? { type: 'human', id: 'alice' } : { type: 'agent', id: 'planner' },
  kind: 'message',
  content: { text: textOf(n) },
});

/** Returns words from a vocabulary of a few thousand, few of them frequent; the same in every run. */
function textOf(n: number): string {
  const length = CONTENT_BYTES - '{"text":""}'.length;
  let state = n * 2_654_435_761 + 1;
  let text = '';
  while (text.length < length) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    text += `${wordOf(Math.floor(4_000 * (state / 2 ** 32) ** 3))} `;
  }
  return text.slice(0, length);
}

const syllables = ['ka', 'lo', 'mer', 'ti', 'sun', 'ba', 'ron', 'vel', 'du', 'shi', 'pa', 'gor', 'ne', 'fal', 'wi', 'zu'];
const wordOf = (n: number): string =>
  (n >= syllables.length ? wordOf(Math.floor(n / syllables.length)) : '') + syllables[n % syllables.length];

/** Sends each kind of read request once. */
async function request(url: string, headers: Record<string, string>, event_id: string, n: number): Promise<void> {
  const session_id = `session-${n}`;
  await send(url, headers, `/v1/events?channel=team&session_id=${session_id}&limit=20`);
  await send(url, headers, '/v1/events?channel=private&limit=20');
  await send(url, headers, `/v1/events/${event_id}`);
  await send(url, headers, '/v1/search', { query: textOf(n).slice(0, 40), channel: 'team' });
  await send(url, headers, '/v1/context', { query_text: textOf(n).slice(0, 40), session_id, channel: 'team' });
  await send(url, headers, '/v1/memories?channel=team&limit=20');
}

async function send<T>(url: string, headers: Record<string, string>, path: string, body?: unknown): Promise<T> {
  const answer = await fetch(url + path, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { ...headers, 'Content-Type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as T;
}

/** Returns the sizes of the tables with a tenant, including TOAST, and of their indexes. */
const measure = (world: World): Promise<Relation[]> =>
  world.sql(async (client) => {
    const { rows } = await client.query<Relation>(
      `with tenant_table as (
         select c.oid, c.relname
         from pg_class c
         join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
         where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
       )
       select t.relname as name, t.relname as of, pg_table_size(t.oid)::float8 as bytes, null::float8 as scans
       from tenant_table t
       union all
       select s.indexrelname, t.relname, pg_relation_size(s.indexrelid)::float8, s.idx_scan::float8
       from tenant_table t
       join pg_stat_user_indexes s on s.relid = t.oid
       order by 2, 4 nulls first`,
    );
    return rows;
  });

function tableOf(relations: Relation[]): string {
  const listed = relations.filter(({ bytes }) => bytes / EVENTS >= 0.5);
  const lines = listed.map(
    ({ name, bytes, scans }) => `| ${scans === null ? name : `- ${name}`} | ${(bytes / EVENTS).toFixed(1)} | ${scans ?? ''} |`,
  );
  return ['| table, - index | bytes per event | scans |', '| --- | --- | --- |', ...lines].join('\n');
}
