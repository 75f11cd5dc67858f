import { execFile, execFileSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { freePort } from './port.ts';

const run = promisify(execFile);
const OLDEST_MAJOR = 15;
const OWNER = 'memory';

/** Connection options of a pg client. */
export interface TestConnection {
  host: string;
  port: number;
  user: string;
  password?: string;
  database: string;
}

export interface Cluster {
  /** For example "PostgreSQL 15.18 (Debian …)". */
  version: string;
  /** A superuser, who creates databases. */
  admin: TestConnection;
  /** The owner of the test databases. Not a superuser, because the service must not need one. */
  owner: { user: string; password?: string };
}

/** Returns the directory of the newest supported PostgreSQL, in PATH or in Debian's directory. */
export function findBinaries(): string | undefined {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const dirs = [...(process.env.PATH ?? '').split(':'), ...versions.map((version) => join(debian, version, 'bin'))];
  const found = dirs.find(
    (dir) => existsSync(join(dir, 'initdb')) && existsSync(join(dir, 'pg_ctl')) && majorOf(dir) >= OLDEST_MAJOR,
  );
  // Follow a link in PATH, because the other programs, such as pg_dump, may not be linked.
  return found && dirname(realpathSync(join(found, 'initdb')));
}

function majorOf(dir: string): number {
  try {
    return Number(/ (\d+)/.exec(execFileSync(join(dir, 'postgres'), ['--version'], { encoding: 'utf8' }))?.[1]);
  } catch {
    return 0;
  }
}

/** Starts a new cluster in `dir`, on a Unix socket there and a free port of 127.0.0.1, with the default durability and the settings in `more`. */
export async function startCluster(bin: string, dir: string, more = '', env: NodeJS.ProcessEnv = {}): Promise<Cluster> {
  const as = unprivileged();
  mkdirSync(dir, { recursive: true });
  if (as) chownSync(dir, as.uid, as.gid);
  const data = join(dir, 'data');
  const locale = process.platform === 'linux' ? 'C.UTF-8' : 'en_US.UTF-8';
  await run(join(bin, 'initdb'), ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', `--locale=${locale}`, '--no-sync'], {
    ...as,
    cwd: dir,
  });
  const port = await freePort();
  await startServer(bin, dir, port, more, env);
  const admin = { host: '127.0.0.1', port, user: 'postgres', database: 'postgres' };
  writeFileSync(join(dir, 'connection.json'), JSON.stringify(admin));
  await withClient(admin, (client) => client.query(`create role ${OWNER} login createrole`));
  return { version: await versionOf(admin), admin, owner: { user: OWNER } };
}

/** Starts the server of an existing cluster and waits until it accepts connections. */
export async function startServer(bin: string, dir: string, port: number, more = '', env: NodeJS.ProcessEnv = {}): Promise<void> {
  const settings = `-p ${port} -k ${dir} -c listen_addresses=127.0.0.1 -c max_connections=200 ${more}`;
  // Without a log file, the server would inherit the pipe and keep it open.
  await run(join(bin, 'pg_ctl'), ['-w', '-D', join(dir, 'data'), '-l', join(dir, 'log'), '-o', settings, 'start'], {
    ...unprivileged(),
    cwd: dir,
    env: { ...process.env, ...env },
  });
}

/** Returns the process id of a cluster's server. */
export const serverPid = (dir: string): number =>
  Number(readFileSync(join(dir, 'data', 'postmaster.pid'), 'utf8').split('\n')[0]);

/** Uses an existing server, as a superuser: tests create databases and roles, and read rows without row-level security. */
export async function joinCluster(url: string): Promise<Cluster> {
  const { hostname, port, username, password, pathname, searchParams } = new URL(url);
  const admin: TestConnection = {
    host: searchParams.get('host') ?? hostname,
    port: Number(port || 5432),
    user: decodeURIComponent(username || 'postgres'),
    ...(password && { password: decodeURIComponent(password) }),
    database: pathname.slice(1) || 'postgres',
  };
  return { version: await versionOf(admin), admin, owner: await plainOwner(admin) };
}

const JOINED_OWNER = { user: 'am_test_owner', password: 'for tests only' };

/** Creates the owner of the test databases: not a superuser, but allowed to grant the service's roles, regardless of who created them. */
async function plainOwner(admin: TestConnection): Promise<Cluster['owner']> {
  await withClient(admin, async (client) => {
    const { rows } = await client.query<{ rolsuper: boolean }>('select rolsuper from pg_roles where rolname = current_user');
    if (!rows[0]?.rolsuper)
      throw new Error(
        `TEST_DATABASE_URL needs the login of a superuser: alter role "${admin.user}" superuser, or use another one.`,
      );
    await client.query(`do $$
      declare
        v_role text;
      begin
        begin
          create role ${JOINED_OWNER.user};
        exception when duplicate_object or unique_violation then null;
        end;
        alter role ${JOINED_OWNER.user} login createrole password '${JOINED_OWNER.password}';
        for v_role in select rolname from pg_roles where rolname like 'agent\\_memory\\_%' loop
          execute format('grant %I to ${JOINED_OWNER.user} with admin option', v_role);
        end loop;
      end $$`);
  });
  return JOINED_OWNER;
}

/** Returns the user to run servers as if the tests run as root, because PostgreSQL and pgbouncer refuse to run as root. */
export function unprivileged(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  for (const user of ['postgres', 'nobody']) {
    try {
      const id = (flag: string) =>
        Number(execFileSync('id', [flag, user], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
      return { uid: id('-u'), gid: id('-g') };
    } catch {
      // The user does not exist; try the next.
    }
  }
  throw new Error('run the tests as a user other than root, or set TEST_ENGINE=embedded');
}

async function versionOf(admin: TestConnection): Promise<string> {
  const { rows } = await withClient(admin, (client) =>
    client.query<{ v: string }>(`select current_setting('server_version') as v`),
  );
  return `PostgreSQL ${rows[0]?.v}`;
}

export async function withClient<T>(connection: TestConnection, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client(connection);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
