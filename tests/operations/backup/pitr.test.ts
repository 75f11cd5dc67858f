import { type ExecFileException, execFile, execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type Client, message, newTenant } from '../../support/client.ts';
import { type Cluster, findBinaries, serverPid, startCluster, startServer, withClient } from '../../support/cluster.ts';
import { freePort, startTestDaemon } from '../../support/daemon.ts';
import { describeWith } from '../../support/tool.ts';
import { envOf, newDir, root } from './set.ts';

// A drill of point-in-time recovery: a daemon writes, the server is lost, and the database is recovered to each of several acknowledged writes. The
// write is present, the next is not. `PITR_TARGETS=20 npm run test:operations -- backup/pitr` is the long form.

const TARGETS = Number(process.env.PITR_TARGETS ?? 5);
const WRITES = 40;
const WRITES_BEFORE_BASE = 5;

interface Write {
  seq: number;
  /** When it was acknowledged, and the WAL position at that time. */
  time: string;
  lsn: string;
}

const bin = findBinaries();
/** The user that runs PostgreSQL, as tests/support/cluster.ts chooses it. */
const as: { uid?: number; gid?: number } =
  process.getuid?.() === 0
    ? { uid: Number(execFileSync('id', ['-u', 'postgres'])), gid: Number(execFileSync('id', ['-g', 'postgres'])) }
    : {};
const chown = (dir: string) => as.uid !== undefined && chownSync(dir, as.uid, as.gid!);

async function script(name: string, args: string[], env: Record<string, string>): Promise<string> {
  const PATH = `${bin}:${process.env.PATH}`;
  const run = promisify(execFile)(join(root, 'scripts', name), args, { ...as, cwd: '/', env: { PATH, ...env } });
  return run.then(
    ({ stdout }) => stdout,
    (error: ExecFileException & { stderr: string }) => Promise.reject(new Error(`${name}: ${error.stderr}`)),
  );
}

async function until<T>(what: string, probe: () => Promise<T | undefined | false>): Promise<T> {
  for (const end = Date.now() + 60_000; Date.now() < end; await sleep(100)) {
    const found = await probe().catch(() => undefined);
    if (found) return found;
  }
  throw new Error(`${what}: not within a minute`);
}

describeWith(['pg_basebackup', 'gzip', 'flock'], 'point-in-time recovery', () => {
  const dir = newDir('pitr');
  chmodSync(dir, 0o755);
  const env = { BASE_BACKUP_DIR: join(dir, 'base'), WAL_ARCHIVE: join(dir, 'wal') };
  let client: Client;
  const writes: Write[] = [];
  beforeAll(async () => {
    for (const place of Object.values(env)) {
      mkdirSync(place);
      chown(place);
    }
    const archive = `${join(root, 'scripts/archive-wal.sh')} %p %f ${env.WAL_ARCHIVE}`;
    const cluster = await startCluster(bin!, join(dir, 'primary'), `-c archive_mode=on -c "archive_command=${archive}"`);
    chown(dir);
    try {
      await writeUnderBaseBackup(cluster);
    } finally {
      process.kill(serverPid(join(dir, 'primary')), 'SIGKILL');
    }
    // Only the base and the archive are left.
    rmSync(join(dir, 'primary'), { recursive: true });
  });

  async function writeUnderBaseBackup(cluster: Cluster): Promise<void> {
    await withClient(cluster.admin, (admin) => admin.query('create database agent_memory owner memory'));
    const daemon = await startTestDaemon({}, envOf({ ...cluster.admin, ...cluster.owner, database: 'agent_memory' }));
    client = await newTenant(daemon.url);
    const other = await newTenant(daemon.url);
    let busy = true;
    const noise = (async () => {
      while (busy) await other.request('POST', '/v1/events', { body: message('of somebody else') });
    })();
    await withClient(cluster.admin, async (admin) => {
      for (let i = 0; i < WRITES_BEFORE_BASE; i += 1) await write(admin);
      await script('base-backup.sh', [], { ...env, ...envOf(cluster.admin) });
      // The target must be later than the second in which the base ended.
      await sleep(2000);
      for (let i = 0; i < WRITES; i += 1) await write(admin);
      busy = false;
      await noise;
      const { rows } = await admin.query('select pg_walfile_name(pg_switch_wal()) as last');
      await until('the last segment is archived', async () => {
        const at = await admin.query('select last_archived_wal >= $1 as done from pg_stat_archiver', [rows[0].last]);
        return at.rows[0].done;
      });
    });
    await daemon.stop();
  }

  async function write(admin: { query(text: string): Promise<{ rows: Pick<Write, 'time' | 'lsn'>[] }> }): Promise<void> {
    const { status, body } = await client.request('POST', '/v1/events', { body: message(`write ${writes.length}`) });
    expect(status).toBe(201);
    const { rows } = await admin.query(
      `select to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US+00') as time, pg_current_wal_insert_lsn() as lsn`,
    );
    writes.push({ seq: body.seq, ...rows[0]! });
  }

  /** Returns the tenant's events on the recovered server. */
  async function recover(name: string, args: string[]): Promise<{ seqs: number[]; last_seq: number }> {
    const place = join(dir, name);
    mkdirSync(place);
    chown(place);
    await script('pitr.sh', [...args, join(place, 'data')], env);
    const port = await freePort();
    // A drill must not write into the archive that it recovers from.
    await startServer(bin!, place, port, '-c archive_mode=off');
    const connection = { host: '127.0.0.1', port, user: 'postgres', database: 'agent_memory' };
    try {
      return await until('the recovery ends', () =>
        withClient(connection, async (admin) => {
          if ((await admin.query('select pg_is_in_recovery() as still')).rows[0].still) return undefined;
          const { rows } = await admin.query(
            `select array(select seq::int from events where tenant_id = $1 order by seq) as seqs, last_seq::int
             from tenant_clocks where tenant_id = $1`,
            [client.tenant_id],
          );
          return rows[0];
        }),
      );
    } finally {
      process.kill(serverPid(place), 'SIGQUIT');
      await until('the server ends', async () => !(await promisify(execFile)('pgrep', ['-f', place]).catch(() => false)));
      rmSync(place, { recursive: true });
    }
  }

  const upTo = (seq: number) => Array.from({ length: seq }, (_, i) => i + 1);

  test(`recovery to ${TARGETS} random acknowledged writes is exact, by time and by LSN`, async () => {
    const later = writes.slice(WRITES_BEFORE_BASE, -1);
    const chosen = later
      .map((write) => ({ write, by: Math.random() }))
      .sort((a, b) => a.by - b.by)
      .slice(0, TARGETS);
    expect(chosen).toHaveLength(TARGETS);
    for (const [i, { write }] of chosen.entries()) {
      const found = await recover(`target-${i}`, i % 2 === 0 ? ['--to', write.time] : ['--to-lsn', write.lsn]);
      expect([write, found]).toEqual([write, { seqs: upTo(write.seq), last_seq: write.seq }]);
    }
  }, 900_000);

  test('recovery to the end loses no acknowledged write', async () => {
    const last = writes.at(-1)!.seq;
    expect(await recover('end', ['--to-end'])).toEqual({ seqs: upTo(last), last_seq: last });
  });

  test('a time before the base, a non-empty directory and a damaged base are rejected', async () => {
    const refused = (args: string[]) =>
      script('pitr.sh', args, env).then(
        () => 'done',
        (error: Error) => error.message,
      );
    expect(await refused(['--to', writes[0]!.time, join(dir, 'new')])).toMatch(/no base backup .* old enough/);
    expect(await refused(['--to-end', dir])).toMatch(/is not empty/);
    const { stdout } = await promisify(execFile)('find', [
      env.BASE_BACKUP_DIR,
      '-name',
      'pg_filenode.map',
      '-path',
      '*/global/*',
    ]);
    execFileSync('sh', ['-c', 'printf x | dd of="$1" bs=1 seek=100 conv=notrunc status=none', 'sh', stdout.trim()]);
    expect(await refused(['--to-end', join(dir, 'new')])).toMatch(/checksum mismatch/);
  });
});
