import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Cluster, findBinaries, serverPid, startCluster, withClient } from '../../support/cluster.ts';

// postgres/roles.sh, on a server that logs as much as possible. The directories of the containers are replaced.

const root = join(import.meta.dirname, '../../..');
const OWNER_PASSWORD = 'the-password-of-the-owner';
let dir: string;
let cluster: Cluster | undefined;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'agent-memory-roles-'));
  chmodSync(dir, 0o711);
  for (const name of ['archive', 'monitor', 'pgdata']) mkdirSync(join(dir, name));
});
afterEach(() => {
  if (cluster) process.kill(serverPid(join(dir, 'cluster')), 'SIGQUIT');
  rmSync(dir, { recursive: true, force: true });
});

function makeRoles(): void {
  const script = readFileSync(join(root, 'postgres/roles.sh'), 'utf8').replaceAll(
    / \/(archive|monitor)\/|>\/(archive|monitor)\//g,
    (at) => at.replace('/', `${dir}/`),
  );
  execFileSync('bash', ['-c', script], {
    env: {
      PATH: process.env.PATH,
      PGHOST: '127.0.0.1',
      PGPORT: String(cluster!.admin.port),
      PGDATA: join(dir, 'pgdata'),
      POSTGRES_USER: 'postgres',
      POSTGRES_DB: 'agent_memory',
      OWNER: 'owner',
      OWNER_PASSWORD,
    },
  });
}

test.each([
  ['with', '-c shared_preload_libraries=pg_stat_statements'],
  ['without', ''],
])(
  '%s pg_stat_statements, passwords are neither stored nor logged, and only their readers can read the files',
  async (_, library) => {
    const settings = '-c log_statement=all -c log_min_duration_statement=0';
    cluster = await startCluster(findBinaries()!, join(dir, 'cluster'), `${settings} ${library}`);
    const { admin } = cluster;
    const request = <R extends object>(sql: string) => withClient(admin, async (client) => (await client.query<R>(sql)).rows);
    await request('create database agent_memory');
    // for an existing server
    writeFileSync(join(dir, 'archive/.pgpass'), 'old', { mode: 0o644 });
    writeFileSync(join(dir, 'monitor/password'), 'old', { mode: 0o444 });
    makeRoles();
    const pass = readFileSync(join(dir, 'archive/.pgpass'), 'utf8').trim();
    const monitor = readFileSync(join(dir, 'monitor/password'), 'utf8').trim();
    expect(pass).toMatch(/^\*:\*:\*:base_backup:[\w-]{32}$/);
    expect([statSync(join(dir, 'archive/.pgpass')).mode & 0o777, monitor]).toEqual([0o600, expect.stringMatching(/^[\w-]{32}$/)]);
    const roles = await request<{ rolname: string }>(
      `select rolname from pg_authid where rolname in ('owner', 'base_backup', 'monitor') and rolpassword is not null`,
    );
    expect(roles).toHaveLength(3);
    if (library) await request('create extension pg_stat_statements');
    const kept = library ? await request<{ query: string }>('select query from pg_stat_statements') : [];
    const said = JSON.stringify(kept) + readFileSync(join(dir, 'cluster/log'), 'utf8');
    expect(said).toContain('create database agent_memory');
    for (const password of [OWNER_PASSWORD, pass.split(':')[4]!, monitor]) expect(said).not.toContain(password);
  },
  60_000,
);
