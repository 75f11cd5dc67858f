import { type ExecFileException, execFile, execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import {
  type Cluster,
  findBinaries,
  serverPid,
  startCluster,
  startServer,
  unprivileged,
  withClient,
} from '../../support/cluster.ts';
import { freePort } from '../../support/daemon.ts';
import { describeWith } from '../../support/tool.ts';
import { newDir, type Run, root } from './set.ts';

// Which bases and WAL segments are kept, and how the base of a server starts whose configuration is in another directory, as in Debian.

const bin = findBinaries();
const as = unprivileged();

describeWith(['pg_basebackup', 'gzip', 'flock'], 'base backups', () => {
  const dir = newDir('base');
  chmodSync(dir, 0o755);
  const [primary, etc, broken] = [join(dir, 'primary'), join(dir, 'etc'), join(dir, 'archiving-is-broken')];
  const bases = join(dir, 'base');
  const wal = join(dir, 'wal');
  const config = join(etc, 'postgresql.conf');
  let cluster: Cluster;

  function place(path: string): string {
    mkdirSync(path);
    if (as) chownSync(path, as.uid, as.gid);
    return path;
  }

  async function script(name: string, args: string[] = [], more: Record<string, string> = {}): Promise<Run> {
    const { host, port, user } = cluster.admin;
    const env = { BASE_BACKUP_DIR: bases, WAL_ARCHIVE: wal, PGHOST: host, PGPORT: String(port), PGUSER: user, ...more };
    const PATH = `${bin}:${process.env.PATH}`;
    return promisify(execFile)(join(root, 'scripts', name), args, { ...as, cwd: '/', env: { PATH, ...env } }).then(
      ({ stdout, stderr }) => ({ code: 0, out: stdout, err: stderr }),
      (error: ExecFileException & { stdout: string; stderr: string }) => ({ code: 1, out: error.stdout, err: error.stderr }),
    );
  }

  const request = (text: string, port = cluster.admin.port) =>
    withClient({ ...cluster.admin, port }, async (admin) => (await admin.query({ text, rowMode: 'array' })).rows[0]?.[0]);
  const isDone = (name: string) => /^base_\d{8}_\d{6}$/.test(name);
  const basesThere = () => readdirSync(bases).filter(isDone).sort();
  const segmentsThere = () => readdirSync(wal).filter((name) => /^[0-9A-F]{24}\.gz$/.test(name));
  const firstOf = (base: string) => /\(file ([0-9A-F]{24})\)/.exec(readFileSync(join(bases, base, 'backup_label'), 'utf8'))![1]!;

  async function until(what: string, probe: () => Promise<boolean> | boolean): Promise<void> {
    for (const end = Date.now() + 60_000; Date.now() < end; await sleep(100)) if (await probe()) return;
    throw new Error(`${what}: not within a minute`);
  }

  beforeAll(async () => {
    for (const path of [bases, wal, etc]) place(path);
    cluster = await startCluster(bin!, primary);
    execFileSync(join(bin!, 'pg_ctl'), ['-w', '-D', join(primary, 'data'), '-m', 'fast', 'stop'], { ...as, stdio: 'ignore' });
    for (const name of ['postgresql.conf', 'pg_hba.conf', 'pg_ident.conf'])
      renameSync(join(primary, 'data', name), join(etc, name));
    const settings = {
      data_directory: join(primary, 'data'),
      hba_file: join(etc, 'pg_hba.conf'),
      ident_file: join(etc, 'pg_ident.conf'),
      archive_mode: 'on',
      archive_command: `test ! -e ${broken} && ${join(root, 'scripts/archive-wal.sh')} %p %f ${wal}`,
    };
    appendFileSync(
      config,
      Object.entries(settings)
        .map(([name, value]) => `${name} = '${value}'\n`)
        .join(''),
    );
    await startServer(bin!, primary, cluster.admin.port, `-c config_file=${config}`);
    await request('create table kept (n int)');
  });
  afterAll(() => process.kill(serverPid(primary), 'SIGQUIT'));

  test('where archiving fails no base is made and nothing older is removed; once it works the older one goes', async () => {
    const env = { BASE_BACKUP_KEEP: '1', WAL_ARCHIVE_WAIT_S: '4' };
    expect(await script('base-backup.sh', [], { ...env, WAL_ARCHIVE_WAIT_S: '60' })).toMatchObject({ code: 0, err: '' });
    const [base, ...more] = basesThere();
    expect(more).toEqual([]);
    writeFileSync(broken, '');
    const before = segmentsThere();
    for (let i = 0; i < 2; i += 1) {
      const failed = await script('base-backup.sh', [], env);
      expect([failed.code, failed.err]).toEqual([
        1,
        expect.stringMatching(/segment \w+ is not in .*wal after 4 s.*Nothing was removed/),
      ]);
      expect(readdirSync(bases).sort()).toEqual(['.lock', base]);
      expect(segmentsThere()).toEqual(before);
    }
    rmSync(broken);
    // without a new base, older bases are kept
    const stray = join(bases, 'base_zzzzzzzz_zzzzzz');
    mkdirSync(stray);
    const done = await script('base-backup.sh', [], { BASE_BACKUP_KEEP: '1' });
    rmSync(stray, { recursive: true });
    expect([done.code, done.out]).toEqual([0, expect.stringContaining(`removed ${join(bases, base!)}`)]);
    const [left] = basesThere();
    expect(left).not.toBe(base);
    expect(segmentsThere().sort()[0]).toBe(`${firstOf(left!)}.gz`);
  });

  test('the WAL of every base is kept, even if an older base of a previous timeline starts at a later position', async () => {
    for (const base of basesThere()) rmSync(join(bases, base), { recursive: true });
    const left = place(join(bases, 'base_20260101_000000'));
    writeFileSync(join(left, 'backup_label'), 'START WAL LOCATION: 0/F0000028 (file 0000000100000000000000F0)\n');
    expect(await script('base-backup.sh')).toMatchObject({ code: 0, err: '' });
    const [older, base] = basesThere();
    expect(older).toBe('base_20260101_000000');
    expect(segmentsThere().sort()[0]).toBe(`${firstOf(base!)}.gz`);
    rmSync(left, { recursive: true });
  });

  describe('recovery', () => {
    beforeAll(async () => {
      await request('insert into kept values (42)');
      const segment = await request('select pg_walfile_name(pg_switch_wal() - 1)');
      await until('the segment is archived', () => segmentsThere().includes(`${segment}.gz`));
    });

    test('a base without a configuration needs one, and starts from its own directory, not the one that the configuration names', async () => {
      const data = join(place(join(dir, 'recovered')), 'data');
      const env = { BASE_BACKUP_DIR: `${bases}/` };
      const refused = await script('pitr.sh', ['--to-end', data], env);
      expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('name it in PITR_CONFIG_FILE')]);
      const prepared = await script('pitr.sh', ['--to-end', data], { ...env, PITR_CONFIG_FILE: config });
      expect([prepared.code, prepared.out]).toEqual([0, expect.stringContaining(`pg_ctl -D ${data} -l ${data}.log start`)]);
      const port = await freePort();
      await startServer(bin!, join(dir, 'recovered'), port, '-c archive_mode=off');
      try {
        await until('the recovery ends', async () => !(await request('select pg_is_in_recovery()', port)));
        expect([await request('show data_directory', port), await request('select n from kept', port)]).toEqual([data, 42]);
      } finally {
        process.kill(serverPid(join(dir, 'recovered')), 'SIGQUIT');
      }
    });

    test('a damaged segment in the archive aborts the recovery with an error, and is not taken for the end of the archive', async () => {
      const damaged = join(dir, 'damaged-wal');
      cpSync(wal, damaged, { recursive: true });
      const last = join(damaged, segmentsThere().sort().at(-1)!);
      const bytes = readFileSync(last);
      writeFileSync(last, bytes.fill(0xff, bytes.length >> 1, (bytes.length >> 1) + 8));
      execFileSync('chmod', ['-R', 'a+rX', damaged]);
      const at = place(join(dir, 'unfinished'));
      const prepared = await script('pitr.sh', ['--to-end', join(at, 'data')], {
        WAL_ARCHIVE: damaged,
        PITR_CONFIG_FILE: config,
      });
      expect(prepared).toMatchObject({ code: 0 });
      // The server may answer for a moment before it reaches the segment.
      await startServer(bin!, at, await freePort(), '-c archive_mode=off').catch(() => undefined);
      await until('the server gave up', () => !readdirSync(join(at, 'data')).includes('postmaster.pid'));
      expect(readFileSync(join(at, 'log'), 'utf8')).toMatch(/FATAL: {2}could not restore file "\w+" from archive/);
    });
  });
});
