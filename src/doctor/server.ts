import { existsSync } from 'node:fs';
import type { Config } from '../config.ts';
import { type Finding, failed, findingsOrOk, ok, skipped, warning } from './finding.ts';
import { checkSpace } from './machine.ts';
import type { Server } from './sql.ts';

// Compares the properties of a PostgreSQL server with what the service needs.

const OLDEST_MAJOR = 15;
const MIB = 1024 * 1024;
/** Connections besides those of daemons: migrations, backup, this command, an operator, monitoring. */
const OTHERS = 5;
const DEFAULT_SHARED_BLOCKS = 16_384;
const SKEW_MS = 1000;
const WORST_SKEW_MS = 30_000;

type Settings = Map<string, string>;
/** Returns a psql command with one `-c` per statement: statements in one `-c` form a transaction, in which `alter system` cannot run. */
const apply = (...statements: string[]) => `psql -U postgres ${statements.map((one) => `-c "${one}"`).join(' ')}`;

export function checkServer(server: Server, where: string): Finding[] {
  const { version, encoding, time_zone, database_bytes, database, login } = server;
  const findings: Finding[] = [];
  const add = (wrong: boolean, finding: Finding) => wrong && findings.push(finding);
  add(
    server.major < OLDEST_MAJOR,
    failed(
      'database',
      `PostgreSQL ${version} is too old`,
      `install PostgreSQL ${OLDEST_MAJOR} or newer and restore a backup into it`,
    ),
  );
  add(
    encoding !== 'UTF8',
    failed(
      'database',
      `${database} has the encoding ${encoding}`,
      `createdb -E UTF8 -T template0 -O ${login} NEW   # and restore a backup into it`,
    ),
  );
  add(
    server.standby,
    failed('database', 'it is a standby, which accepts no writes', 'pg_ctl promote   # or point PGHOST at the primary'),
  );
  add(
    server.read_only === 'on',
    failed('database', 'its transactions are read-only', apply(`alter database ${database} reset default_transaction_read_only`)),
  );
  add(
    !/^(Etc\/)?(UTC|GMT)$/.test(time_zone),
    warning(
      'database',
      `its time zone is ${time_zone}; the daemon uses UTC, so times in psql and logs differ`,
      apply(`alter database ${database} set timezone = 'UTC'`),
    ),
  );
  const size = `${Math.ceil(database_bytes / MIB)} MiB`;
  return [
    ...findingsOrOk('database', `PostgreSQL ${version} ${where}, ${encoding}, ${time_zone}, ${size}`, findings),
    ...checkLogin(server),
  ];
}

const checkLogin = ({ superuser, login }: Server): Finding[] =>
  superuser
    ? [
        warning(
          'login',
          `${login} is a superuser; requests are served without its privileges, but its password grants access to everything`,
          `${apply(`alter role ${login} nosuperuser createrole`)}   # not for the first user of a cluster, which remains a superuser`,
        ),
      ]
    : [ok('login', `${login} is not a superuser`)];

/** Checks that an acknowledged write survives a power cut. */
export function checkDurability(settings: Settings): Finding[] {
  const off = ['fsync', 'full_page_writes', 'synchronous_commit'].filter((name) => settings.get(name) === 'off');
  const findings = off.map((name) =>
    failed(
      'durability',
      `${name} is off: acknowledged writes can be lost`,
      apply(`alter system reset ${name}`, 'select pg_reload_conf()'),
    ),
  );
  return findingsOrOk('durability', 'a commit is on the disk before it is acknowledged', findings);
}

/** Checks for defaults that are too small for production. */
export function checkTuning(settings: Settings): Finding[] {
  const findings: Finding[] = [];
  if (Number(settings.get('shared_buffers')) <= DEFAULT_SHARED_BLOCKS)
    findings.push(
      warning(
        'tuning',
        'shared_buffers is the default of 128 MB or less',
        'less docs/postgresql.md   # postgres/postgresql.conf, then restart PostgreSQL',
      ),
    );
  if (settings.get('log_min_duration_statement') === '-1')
    findings.push(
      warning(
        'tuning',
        'slow statements are not logged',
        apply(`alter system set log_min_duration_statement = '500ms'`, 'select pg_reload_conf()'),
      ),
    );
  return findingsOrOk('tuning', 'buffers and the log of slow statements are set', findings);
}

export function checkConnections(server: Server, settings: Settings, config: Config, daemons: number): Finding[] {
  // one more for LISTEN
  const perDaemon = config.PGPOOL_MAX + 1;
  const need = daemons * perDaemon + OTHERS;
  if (config.PG_POOLER)
    return [skipped('connections', `behind a pooler: its max_client_conn must be at least ${need} for ${daemons} daemons`)];
  const reserved = Number(settings.get('superuser_reserved_connections'));
  const bounds = [server.login_limit, server.database_limit].filter((limit) => limit >= 0);
  const most = Math.min(Number(settings.get('max_connections')) - reserved, ...bounds);
  const says = `${daemons} daemons use up to ${daemons} × ${perDaemon} connections, and other programs ${OTHERS}; there are ${most}, of which ${server.connections} are in use`;
  const fits = Math.floor((most - OTHERS) / daemons) - 1;
  const next = fits > 0 ? `PGPOOL_MAX=${fits}` : '';
  if (need > most)
    return [
      failed(
        'connections',
        says,
        `${apply(`alter system set max_connections = ${need + reserved}`)}   # and restart PostgreSQL${next && `; or ${next}`}`,
      ),
    ];
  const full = server.connections > 0.9 * most;
  return [
    full
      ? warning(
          'connections',
          says,
          `psql -U postgres -c "select usename, application_name, state, count(*) from pg_stat_activity group by 1, 2, 3 order by 4 desc"`,
        )
      : ok('connections', says),
  ];
}

/** Checks the settings that apply to statements of the daemon, read through a pool like the daemon's. */
export function checkStatements(settings: Settings, login: string, user: string, role: string, { PG_POOLER }: Config): Finding[] {
  const findings: Finding[] = [];
  const expected = {
    jit: 'off',
    idle_in_transaction_session_timeout: '10000',
    lock_timeout: undefined,
    statement_timeout: undefined,
  };
  for (const [name, value] of Object.entries(expected)) {
    const is = settings.get(name)!;
    if (value === undefined ? is !== '0' : is === value || (name !== 'jit' && is !== '0')) continue;
    const setting = { jit: 'off', idle_in_transaction_session_timeout: '10s', lock_timeout: '2s', statement_timeout: '5s' }[name];
    findings.push(
      warning(
        'statements',
        `${name} is ${is}${PG_POOLER ? ': a pooler drops the options of the daemon' : ''}`,
        apply(`alter role ${login} set ${name} = '${setting}'`),
      ),
    );
  }
  if (!PG_POOLER && user !== role)
    findings.push(
      failed('statements', `they run as ${user}, not as ${role}: a pooler drops the startup options`, 'PG_POOLER=true'),
    );
  const ms = (name: string) => `${name} ${settings.get(name)} ms`;
  return findingsOrOk(
    'statements',
    ['jit off', ms('statement_timeout'), ms('lock_timeout'), ms('idle_in_transaction_session_timeout')].join(', '),
    findings,
  );
}

/** Compares clocks. `local`: the local time before and after the database returned `now`. */
export function checkClock(now: string, local: [number, number], earlier: { what: string; at: string }[]): Finding[] {
  const theirs = Date.parse(now);
  const [before, after] = local;
  const skew = theirs < before ? theirs - before : theirs > after ? theirs - after : 0;
  const look = 'timedatectl; chronyc tracking   # here and on the database server';
  const says = `the database's clock is ${Math.abs(skew)} ms ${skew < 0 ? 'behind' : 'ahead of'} this one`;
  const findings: Finding[] = [];
  if (Math.abs(skew) > WORST_SKEW_MS) findings.push(failed('clock', says, look));
  else if (Math.abs(skew) > SKEW_MS) findings.push(warning('clock', says, look));
  for (const { what, at } of earlier)
    if (Date.parse(at) > theirs + SKEW_MS)
      findings.push(failed('clock', `the clock of the database was set back: ${what} at ${at}, and now it is ${now}`, look));
  return findingsOrOk(
    'clock',
    skew === 0 ? 'the clocks of this machine and the database agree, and neither was set back' : says,
    findings,
  );
}

/** Checks the disk of the database if it is on this machine. */
export function checkDatabaseDisk(settings: Settings, local: boolean): Finding[] {
  const dir = settings.get('data_directory');
  if (dir && local && existsSync(dir)) return checkSpace('database disk', dir, `the database (${dir})`);
  return [
    skipped('database disk', 'not on this machine; on its server run: df -h "$(psql -U postgres -tAc \'show data_directory\')"'),
  ];
}
