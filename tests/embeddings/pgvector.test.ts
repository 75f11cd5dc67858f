import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Client, message, newColleague, newTenant } from '../support/client.ts';
import { findBinaries, withClient } from '../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../support/daemon.ts';
import { onEmbedded, serverConnection } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { type ModelServer, startModelServer } from './model_server.ts';
import { modelEnv } from './open_models.ts';

// The closest passages of a log with more than 20,000 passages, by an index of pgvector.

const bin = onEmbedded() ? undefined : findBinaries();
const installed = bin !== undefined && existsSync(join(bin, '..', 'share', 'postgresql', 'extension', 'vector.control'));

const PASSAGES = 20_100;

(installed ? describe : describe.skip)(`pgvector${installed ? '' : ' (skipped: the server does not have it)'}`, () => {
  let embedding: ModelServer;
  let settings: Record<string, string>;
  let first: TestDaemon;
  let daemon: TestDaemon;
  let alice: Client;
  beforeAll(async () => {
    embedding = await startModelServer();
    const { RERANK_URL: _, EMBEDDINGS_QUERY_PREFIX: _q, EMBEDDINGS_PASSAGE_PREFIX: _p, ...env } = modelEnv(embedding.url);
    settings = { ...env, EMBEDDINGS_BATCH_SIZE: '256' };
    first = await startTestDaemon();
    await query('create extension vector');
    daemon = await startTestDaemon(settings, first.env);
    alice = await newTenant(daemon.url);
  }, 60_000);
  afterAll(async () => {
    await daemon?.stop();
    await first?.stop();
    await embedding?.kill();
  });

  const find = async (query: string, more: object = {}, by = alice) =>
    (await by.request('POST', '/v1/search', { body: { query, ...more } })).body;
  const textsOf = ({ data }: Record<string, any>): string[] => data.map(({ text }: { text: string }) => text);
  const query = async (statement: string): Promise<Record<string, unknown>[]> =>
    withClient(
      { ...serverConnection(), database: first.env.PGDATABASE! },
      async (client) => (await client.query(statement)).rows,
    );
  const indexes = () =>
    query(`select c.relname as name, c.relname = vector_index_name('model-a 64') as known
      from pg_index i join pg_class c on c.oid = i.indexrelid
      where i.indisvalid and c.relname like 'embeddings\\_\\_near\\_%' order by 1`);
  const indexed = () => eventually(async () => (await indexes()).length === 1, 'the index');

  test('in a large log, a passage is found by its meaning; private passages of others and other tenants are not', async () => {
    await indexed();
    const bob = await newColleague(alice);
    const other = await newTenant(daemon.url);
    const rare = { boss: 'Our manager', car: 'Her automobile', chef: 'Some cook', kitten: 'One cat', ship: 'That boat' };
    await other.request('POST', '/v1/events', { body: message('The manager of the other tenant resigned') });
    await bob.request('POST', '/v1/events', { body: message('My manager resigned, says Bob') });
    for (const text of Object.values(rare))
      await alice.request('POST', '/v1/events', { body: { ...message(text), channel: 'team' } });
    for (let i = 0; i < PASSAGES; i += 1000) {
      const events = Array.from({ length: Math.min(1000, PASSAGES - i) }, (_, n) => ({
        ...message([1, 7, 13].map((factor) => wordOf((i + n + 1) * factor)).join(' ')),
        channel: 'team',
      }));
      await alice.request('POST', '/v1/events', { body: { events } });
    }
    await eventually(async () => (await find('boss')).degraded.length === 0, 'the embeddings', 240_000);
    const found = await find('boss');
    expect(found.degraded).toEqual([]);
    const first: [string, string | undefined][] = [];
    for (const word of Object.keys(rare)) first.push([word, textsOf(await find(word))[0]]);
    // the index is approximate
    expect(first.filter(([word, text]) => text === rare[word as keyof typeof rare]).length).toBeGreaterThanOrEqual(4);
    expect(textsOf(found).filter((text) => /Bob|other tenant/.test(text))).toEqual([]);
    await eventually(async () => {
      const [row] = await query(
        `select idx_scan > 0 as used from pg_stat_user_indexes where indexrelname = vector_index_name('model-a 64')`,
      );
      return row!.used === true;
    }, 'a scan of the index');
    // a scope with fewer passages than are looked for: closer ones may be missing, and the answer says so
    const scoped = await find('boss', { session_id: 'nowhere' });
    expect(scoped).toMatchObject({ data: [], degraded: ['vectors'] });
  }, 300_000);

  test('an index of a model that is no longer used, or whose creation was interrupted, is replaced at the next start', async () => {
    await query('create index embeddings__near_old on embeddings (seq)');
    await query(`update pg_index set indisvalid = false where indexrelid = vector_index_name('model-a 64')::regclass`);
    const next = await startTestDaemon(settings, first.env);
    try {
      await eventually(async () => {
        const found = await indexes();
        return found.length === 1 && found[0]!.known === true;
      }, 'the index of the model, alone');
    } finally {
      await next.stop();
    }
  }, 60_000);

  test('without the right to the schema of pgvector, a search works and says that passages may be missing', async () => {
    await query('create schema extensions');
    await query('alter extension vector set schema extensions');
    expect((await find('boss')).degraded).toEqual(['vectors']);
    await query('grant usage on schema extensions to agent_memory_searcher');
    expect((await find('boss')).degraded).toEqual([]);
  });
});

/** A made-up word of letters: the same number gives the same word. */
const wordOf = (n: number) => ((n * 2654435761) % 4294967296).toString(26).replace(/\d/g, (d) => 'qrstuvwxyz'[Number(d)]!);
