import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { startEmbedded } from '../../src/db/embedded.ts';
import { type TestConnection, withClient } from './cluster.ts';
import { copyDataDir, testEngine } from './engine.ts';

export interface TestDatabase {
  connection: TestConnection;
  /** Whether it is the embedded engine, which has one session, so the pool has one connection and there is no other. */
  embedded: boolean;
  release(): Promise<void>;
}

export const onEmbedded = (): boolean => testEngine().kind === 'embedded';

/** Declares tests that need a PostgreSQL server. On the embedded engine they are skipped, with the reason in their name. */
export function describeOnServer(why: string, tests: () => void): void {
  if (onEmbedded()) describe.skip(`(skipped on the embedded engine: ${why})`, tests);
  else describe('on a PostgreSQL server', tests);
}

/**
 * Returns the migrated database of this jest worker, which its test files share one after another; each test makes its own tenant. The
 * embedded engine accepts one connection at a time, so a file must end its pool.
 */
export async function workerDatabase(): Promise<TestDatabase> {
  const engine = testEngine();
  const worker = Number(process.env.JEST_WORKER_ID ?? 1);
  if (engine.kind === 'embedded') {
    return { connection: engine.workers[(worker - 1) % engine.workers.length]!, embedded: true, release: async () => undefined };
  }
  const database = `${engine.prefix}_w${worker}`;
  await createFromTemplate(database).catch((error: { code?: string }) => {
    if (error.code !== DUPLICATE_DATABASE) throw error;
  });
  return { connection: connectionTo(database), embedded: false, release: async () => undefined };
}

/** Like `describeOnServer`, for a single test. */
export const testOnServer = (why: string) => (name: string, work: () => Promise<void>, timeout?: number) =>
  onEmbedded() ? test.skip(`${name} (skipped on the embedded engine: ${why})`, work) : test(name, work, timeout);

/** Creates a migrated database, for tests that damage it. On the embedded engine, starts another engine. */
export async function cloneDatabase(): Promise<TestDatabase> {
  if (onEmbedded()) return cloneEmbedded();
  const database = `${randomName()}_clone`;
  await createFromTemplate(database);
  return { connection: connectionTo(database), embedded: false, release: () => drop(database) };
}

/** Creates an empty database, for tests of migrations. */
export async function emptyDatabase(): Promise<TestDatabase> {
  if (onEmbedded()) {
    const clone = await cloneEmbedded();
    await withClient(clone.connection, (client) => client.query('drop schema public cascade; create schema public'));
    return clone;
  }
  const { cluster } = postgres();
  const database = `${randomName()}_empty`;
  await withClient(cluster.admin, (client) => client.query(`create database ${database} owner ${cluster.owner.user}`));
  return { connection: connectionTo(database), embedded: false, release: () => drop(database) };
}

/** Creates a DATA_DIR with a migrated embedded database, on either engine. */
export const cloneDataDir = (): Promise<string> => copyDataDir(testEngine().run_dir);

/** Creates a database on the engine of the test run, and returns the environment for a daemon that uses it. */
export async function daemonDatabase(): Promise<{ env: Record<string, string>; release(): Promise<void> }> {
  if (onEmbedded()) {
    const data_dir = await cloneDataDir();
    return { env: { DATA_DIR: data_dir }, release: async () => rmSync(data_dir, { recursive: true, force: true }) };
  }
  const { connection, release } = await cloneDatabase();
  const { host, port, user, database, password } = { ...connection, ...postgres().pooler };
  const env = {
    PGHOST: host,
    PGPORT: String(port),
    PGUSER: user,
    PGDATABASE: database,
    ...(password && { PGPASSWORD: password }),
  };
  return { env: { ...env, ...(postgres().pooler && { PG_POOLER: 'true' }) }, release };
}

const DUPLICATE_DATABASE = '42P04';

/** The superuser's connection to the server of the test run. */
export const serverConnection = (): TestConnection => postgres().cluster.admin;

function postgres() {
  const engine = testEngine();
  if (engine.kind !== 'postgres') throw new Error('this needs a PostgreSQL server');
  return engine;
}

const randomName = () => `${postgres().prefix}_${randomBytes(4).toString('hex')}`;

function connectionTo(database: string): TestConnection {
  const { cluster } = postgres();
  return { ...cluster.admin, ...cluster.owner, database };
}

async function createFromTemplate(database: string): Promise<void> {
  const { cluster, template } = postgres();
  await withClient(cluster.admin, (client) =>
    client.query(`create database ${database} template ${template} owner ${cluster.owner.user}`),
  );
}

async function drop(database: string): Promise<void> {
  await withClient(postgres().cluster.admin, (client) => client.query(`drop database if exists ${database} with (force)`));
}

async function cloneEmbedded(): Promise<TestDatabase> {
  const data_dir = await cloneDataDir();
  const engine = await startEmbedded({ data_dir });
  const release = async () => {
    await engine.stop();
    rmSync(data_dir, { recursive: true, force: true });
  };
  return { connection: engine.connection, embedded: true, release };
}
