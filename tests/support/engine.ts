import { createHash, randomBytes } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Embedded, startEmbedded } from '../../src/db/embedded.ts';
import { migrateUp } from '../../src/db/migrate.ts';
import { readSchema } from '../../src/db/migrations.ts';
import { thisRelease } from '../../src/db/release.ts';
import { type Cluster, findBinaries, joinCluster, startCluster, type TestConnection, withClient } from './cluster.ts';

// The database of a test run. global-setup.ts creates it, and passes it to the jest workers in an environment variable.

const root = join(import.meta.dirname, '..', '..');
const quiet = { info: () => undefined, warn: () => undefined };

export type TestEngine =
  | {
      kind: 'postgres';
      run_dir: string;
      cluster: Cluster;
      prefix: string;
      template: string;
      /** The pooler that daemons connect to instead of the server (TEST_POOLER). */
      pooler?: { host: string; port: number; password: string };
    }
  /** One engine per jest worker, shared by its test files. */
  | { kind: 'embedded'; run_dir: string; workers: TestConnection[] };

export function testEngine(): TestEngine {
  const text = process.env.AGENT_MEMORY_TEST_ENGINE;
  if (!text) throw new Error('no test database: run the tests with jest');
  return JSON.parse(text) as TestEngine;
}

/**
 * Starts or joins the cluster of a test run. TEST_ENGINE forces one kind of engine, and TEST_DATABASE_URL names an existing server. By
 * default, uses PostgreSQL if it is installed. Returns undefined for the embedded engine.
 */
export async function chooseCluster(run_dir: string): Promise<Cluster | undefined> {
  const { TEST_ENGINE: wanted, TEST_DATABASE_URL: url } = process.env;
  if (wanted === 'embedded') return undefined;
  if (url) return joinCluster(url);
  const bin = findBinaries();
  if (bin) return startCluster(bin, join(run_dir, 'cluster'));
  if (wanted === 'postgres')
    throw new Error('TEST_ENGINE=postgres: no PostgreSQL ≥ 15 found in PATH or /usr/lib/postgresql; set TEST_DATABASE_URL');
  return undefined;
}

/** Creates a migrated database to clone. Names contain the time, so that a later run can drop the databases of a killed run on a shared server. */
export async function preparePostgres(cluster: Cluster, run_dir: string): Promise<TestEngine> {
  const prefix = `am_test_${Date.now().toString(36)}_${randomBytes(3).toString('hex')}`;
  const template = `${prefix}_template`;
  await dropOld(cluster);
  await withClient(cluster.admin, (client) => client.query(`create database ${template} owner ${cluster.owner.user}`));
  await withClient({ ...cluster.admin, ...cluster.owner, database: template }, (client) => migrateUp(client, undefined, quiet));
  return { kind: 'postgres', run_dir, cluster, prefix, template };
}

export async function dropDatabases(cluster: Cluster, matches: (name: string) => boolean): Promise<void> {
  await withClient(cluster.admin, async (client) => {
    const { rows } = await client.query<{ datname: string }>(`select datname from pg_database where datname like 'am_test_%'`);
    for (const { datname } of rows) if (matches(datname)) await client.query(`drop database if exists ${datname} with (force)`);
  });
}

const SIX_HOURS = 6 * 3_600_000;
const dropOld = (cluster: Cluster) =>
  dropDatabases(cluster, (name) => Number.parseInt(name.split('_')[2] ?? '', 36) < Date.now() - SIX_HOURS);

export async function startWorkerEngines(run_dir: string, workers: number): Promise<Embedded[]> {
  await embeddedTemplate();
  return Promise.all(Array.from({ length: workers }, async () => startEmbedded({ data_dir: await copyDataDir(run_dir) })));
}

/** Copies a migrated DATA_DIR, which takes a fraction of a second instead of six for a new one. */
export async function copyDataDir(run_dir: string): Promise<string> {
  const copy = mkdtempSync(join(run_dir, 'data-'));
  cpSync(await embeddedTemplate(), copy, { recursive: true });
  return copy;
}

/** Returns a migrated DATA_DIR, which is created on first use and cached until the migrations or the engine change. */
async function embeddedTemplate(): Promise<string> {
  const cache = join(root, 'node_modules', '.cache', 'agent-memory');
  const engine = JSON.parse(readFileSync(join(root, 'node_modules/@electric-sql/pglite/package.json'), 'utf8')) as {
    version: string;
  };
  const { migrations, functions } = await readSchema(thisRelease);
  const hash = createHash('sha256')
    .update([...migrations, ...functions].map((file) => file.hash).join())
    .digest('hex');
  const template = join(cache, `embedded-${engine.version}-${hash.slice(0, 16)}`);
  if (existsSync(template)) return template;
  mkdirSync(cache, { recursive: true });
  const building = mkdtempSync(join(cache, 'building-'));
  await migrateEmbedded(building);
  try {
    renameSync(building, template);
  } catch {
    rmSync(building, { recursive: true });
  }
  return template;
}

async function migrateEmbedded(data_dir: string): Promise<void> {
  const engine = await startEmbedded({ data_dir });
  try {
    await withClient(engine.connection, (client) => migrateUp(client, undefined, quiet));
  } finally {
    await engine.stop();
  }
}
