import type { DedicatedClient } from '../db/pool.ts';
import type { Logger } from '../log.ts';
import type { Model } from './client.ts';

// Keeps an index over the vectors of each model in use, on servers with pgvector. Without it, the passages closest to a query are found by reading all
// vectors, in logs of up to 20,000 passages. The index covers the signs of the components, which are also what the exact search compares.

export interface VectorIndex {
  /** Begins to create the missing indexes, in the background. */
  start(): void;
  stop(): Promise<void>;
}

/** The first version that continues an index scan until enough rows pass the filters; earlier ones return almost nothing to a small tenant. */
const LEAST_VERSION = '0.8';

/** `connect` opens a connection as the owner of the tables. */
export function openVectorIndex(connect: () => Promise<DedicatedClient>, models: Model[], log: Logger): VectorIndex {
  let client: DedicatedClient | undefined;
  let running: Promise<void> = Promise.resolve();
  let stopping = false;
  const run = async () => {
    client = await connect();
    try {
      if (!stopping && (await hasExtension(client, log))) await updateIndexes(client, models, log);
    } finally {
      await client.end();
    }
  };
  return {
    start: () => {
      running = run().catch((err) => {
        if (!stopping) log.warn({ err }, 'the index over vectors could not be created; it will be retried at the next start');
      });
    },
    // ending the connection ends the wait; the server completes an index that it is building
    stop: async () => {
      stopping = true;
      await client?.end();
      await running;
    },
  };
}

/** Returns true if pgvector is installed in the database, after installing it if the server has it and the role may. */
async function hasExtension(client: DedicatedClient, log: Logger): Promise<boolean> {
  const read = async () =>
    (
      await client.query<{ version: string | null; recent: boolean }>(
        `select installed_version as version,
          string_to_array(coalesce(installed_version, default_version), '.')::int[] >= string_to_array($1, '.')::int[] as recent
        from pg_available_extensions where name = 'vector'`,
        [LEAST_VERSION],
      )
    ).rows[0];
  const found = await read();
  if (!found) return false;
  if (!found.recent) {
    log.warn(
      `in logs of more than 20,000 passages, search finds only passages that share a word with the query; install pgvector ${LEAST_VERSION} or newer`,
    );
    return false;
  }
  if (found.version !== null) return isUsable(client, log);
  try {
    await client.query('create extension if not exists vector');
    return isUsable(client, log);
  } catch (err) {
    log.warn({ err }, 'pgvector is available but not installed: run `create extension vector` in this database as a superuser');
    return false;
  }
}

/** Returns true if a search may use the operators of pgvector, which may be in a schema of its own. */
async function isUsable(client: DedicatedClient, log: Logger): Promise<boolean> {
  const schema = await one(
    client,
    `select quote_ident(n.nspname) as value from pg_extension x join pg_namespace n on n.oid = x.extnamespace
    where x.extname = 'vector' and not has_schema_privilege('agent_memory_searcher', n.oid, 'usage')`,
    [],
  );
  if (schema !== null)
    log.warn(
      `pgvector is in a schema that searches may not use: run \`grant usage on schema ${schema} to agent_memory_searcher\``,
    );
  return schema === null;
}

async function updateIndexes(client: DedicatedClient, models: Model[], log: Logger): Promise<void> {
  const names = new Map<string, Model>();
  for (const model of models) names.set((await one(client, 'select vector_index_name($1) as value', [model.key]))!, model);
  for (const name of await unusable(client, [...names.keys()])) await client.query(`drop index concurrently if exists ${name}`);
  for (const [name, model] of names) {
    if (await one(client, `select to_regclass('public.' || $1)::text as value`, [name])) continue;
    log.info({ index: name, model: model.name }, 'creating the index over vectors');
    await client.query(await statementFor(client, name, model));
    log.info({ index: name, model: model.name }, 'created the index over vectors');
  }
}

/** Returns the indexes of models that no daemon uses, and those whose creation was interrupted. */
async function unusable(client: DedicatedClient, names: string[]): Promise<string[]> {
  // the backlogs of all tenants are hidden from the login role
  const [, used] = (await client.query(
    'set role agent_memory_app; select vector_indexes_in_use() as name; reset role',
  )) as unknown as { rows: { name: string }[] }[];
  const kept = [...names, ...used!.rows.map(({ name }) => name)];
  const { rows } = await client.query<{ name: string }>(
    `select i.indexrelid::regclass::text as name
    from pg_index i join pg_class c on c.oid = i.indexrelid
    where i.indrelid = 'public.embeddings'::regclass and c.relname like 'embeddings\\_\\_near\\_%'
    and (c.relname <> all ($1)
      or (not i.indisvalid and not exists (select from pg_stat_progress_create_index p where p.index_relid = i.indexrelid)))`,
    [kept],
  );
  return rows.map(({ name }) => name);
}

const statementFor = async (client: DedicatedClient, name: string, { key, dimension }: Model): Promise<string> =>
  (await one(
    client,
    `select format(
      'create index concurrently if not exists %I on public.embeddings using hnsw ((signs::bit(%s)) %I.bit_hamming_ops) '
        'where model = %L and length(signs) = %s',
      $1::text, $2::int, (select n.nspname from pg_extension x join pg_namespace n on n.oid = x.extnamespace where x.extname = 'vector'),
      $3::text, $2::int) as value`,
    [name, dimension, key],
  ))!;

const one = async (client: DedicatedClient, statement: string, values: unknown[]): Promise<string | null> =>
  (await client.query<{ value: string | null }>(statement, values)).rows[0]?.value ?? null;
