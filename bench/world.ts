import { join } from 'node:path';
import type { Client } from 'pg';
import { migrateUp } from '../src/db/migrate.ts';
import { type Cluster, findBinaries, startCluster, type TestConnection, withClient } from '../tests/support/cluster.ts';
import { makeRunDir } from '../tests/support/run-dir.ts';
import { type BenchDaemon, startDaemonProcess } from './daemon.ts';
import { type Generator, openGenerator } from './load.ts';
import { openPgbench, type Pgbench } from './pgbench.ts';

/** The environment of the benchmark: its own PostgreSQL cluster, daemons, and the load generator. */
export interface World {
  dir: string;
  postgres: string;
  /** A superuser in the service's database, like an application without row-level security. */
  plain: TestConnection;
  generator: Generator;
  pgbench: Pgbench;
  sql<T>(work: (client: Client) => Promise<T>): Promise<T>;
  /** Returns the daemon of this name, which is started on first use. */
  daemon(name: 'one' | 'two' | 'express'): Promise<BenchDaemon>;
  /** Returns headers with a credential for a tenant, which is created on first use. */
  tenant(id: string): Promise<Record<string, string>>;
  /** Returns a new path in a temporary directory, which is removed afterwards. */
  path(name: string): string;
  close(): Promise<void>;
}

// Durability settings keep their defaults (fsync, synchronous_commit); memory settings suit a current machine. BENCH_PG adds settings.
const SETTINGS = '-c shared_buffers=1GB -c max_wal_size=4GB -c checkpoint_timeout=15min -c maintenance_work_mem=512MB';
export const PASSWORD = 'a bench is not a couch';

export async function openWorld(): Promise<World> {
  const bin = findBinaries();
  if (!bin) throw new Error('The benchmark needs PostgreSQL 15 or newer with pgbench, in PATH or /usr/lib/postgresql.');
  const run_dir = makeRunDir();
  const cluster = await startCluster(bin, join(run_dir.path, 'cluster'), `${SETTINGS} ${process.env.BENCH_PG ?? ''}`);
  const plain = await createDatabase(cluster);
  const daemons = new Map<string, Promise<BenchDaemon>>();
  const tenants = new Map<string, Promise<Record<string, string>>>();
  const generator = openGenerator();
  const env = {
    PGHOST: plain.host,
    PGPORT: String(plain.port),
    PGUSER: cluster.owner.user,
    PGDATABASE: plain.database,
    DATA_DIR: run_dir.path,
  };
  const remember = <T>(map: Map<string, Promise<T>>, name: string, make: () => Promise<T>) => {
    const known = map.get(name) ?? make();
    map.set(name, known);
    return known;
  };
  const daemon = (name: string) =>
    remember(daemons, name, () =>
      startDaemonProcess({ ...env, ...(name === 'express' && { THIN_DOOR: 'false' }) }, join(run_dir.path, `${name}.log`)),
    );
  return {
    dir: run_dir.path,
    postgres: cluster.version,
    plain,
    generator,
    pgbench: openPgbench(bin, run_dir.path, plain),
    sql: (work) => withClient(plain, work),
    daemon,
    tenant: (id) => remember(tenants, id, async () => register((await daemon('one')).url, id)),
    path: (name) => join(run_dir.path, name),
    close: async () => {
      generator.close();
      await Promise.all([...daemons.values()].map(async (one) => (await one).stop()));
      await run_dir.remove();
    },
  };
}

async function createDatabase(cluster: Cluster): Promise<TestConnection> {
  await withClient(cluster.admin, (client) => client.query(`create database bench owner ${cluster.owner.user}`));
  const quiet = { info: () => undefined, warn: () => undefined };
  const owner = { ...cluster.admin, ...cluster.owner, database: 'bench' };
  await withClient(owner, (client) => migrateUp(client, undefined, quiet));
  return { ...cluster.admin, database: 'bench' };
}

async function register(url: string, tenant_id: string): Promise<Record<string, string>> {
  const answer = await fetch(`${url}/auth/register`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ username: 'bench', password: PASSWORD, tenant_id }),
  });
  if (answer.status !== 201) throw new Error(`register: ${answer.status} ${await answer.text()}`);
  const { access_token } = (await answer.json()) as { access_token: string };
  return { Authorization: `Bearer ${access_token}` };
}
