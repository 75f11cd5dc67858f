import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { message, send } from '../../support/client.ts';
import { withClient } from '../../support/cluster.ts';
import { startTestDaemon, type TestDaemon } from '../../support/daemon.ts';
import { emptyDatabase } from '../../support/database.ts';
import { describeWith, findTool } from '../../support/tool.ts';
import { backUp, backupsIn, contentOf, envOf, newDir, rightsOf, sh, startLoaded, superuser } from './set.ts';

describeWith(['pg_dump', 'pg_restore', 'flock', 'openssl'], 'backup and restore', () => {
  let loaded: Awaited<ReturnType<typeof startLoaded>>;
  let daemon: TestDaemon;
  beforeAll(async () => {
    loaded = await startLoaded();
    daemon = loaded.daemon;
  });
  afterAll(() => daemon.stop());

  const connection = () => ({
    host: daemon.env.PGHOST!,
    port: Number(daemon.env.PGPORT),
    user: daemon.env.PGUSER!,
    database: daemon.env.PGDATABASE!,
  });
  test('a plain owner, to whom row-level security applies, backs up and restores every row with the same schema and rights', async () => {
    const backup = await backUp({ ...daemon.env, BACKUP_DIR: newDir('backups') });
    expect(readdirSync(backup).sort()).toEqual(['SHA256SUMS', 'database.dump', 'manifest.json']);
    const target = await emptyDatabase();
    // The daemon keeps writing; later events are not in the backup.
    const before = await contentOf(connection());
    await loaded.clients[0]!.request('POST', '/v1/events', { body: message('after the backup') });

    const restored = await sh('restore.sh', ['--no-ledger', backup], envOf(target.connection));
    expect([restored.code, restored.err]).toEqual([0, expect.stringMatching(/^complete: \d+ rows in \d+ tables, 2 tenants/m)]);
    expect(await contentOf(target.connection)).toEqual(before);
    expect(before.filter((line) => /^(events|chunks|memories|users|audit_entries) [1-9]/.test(line))).toHaveLength(5);
    expect(await rightsOf(target.connection)).toEqual(await rightsOf(connection()));

    const again = await startTestDaemon({}, envOf(target.connection));
    const { tenant_id, username, token } = loaded.clients[1]!;
    const found = await send<any>(again.url, 'POST', '/v1/search', { body: { query: 'Keep backups' } }, token);
    expect([found.status, found.body.data.length > 0]).toEqual([200, true]);
    const next = await send<any>(again.url, 'POST', '/v1/events', { body: message(`${username} of ${tenant_id}`) }, token);
    expect([next.status, next.body.seq]).toEqual([201, 22]);
    await again.stop();
    await target.release();
  });

  test('the directory can be an argument; further arguments are rejected and nothing is written', async () => {
    const [named, unused] = [newDir('named'), newDir('unused')];
    const env = { ...daemon.env, BACKUP_DIR: unused };
    expect((await sh('backup.sh', [named], env)).code).toBe(0);
    expect([backupsIn(named).length, backupsIn(unused)]).toEqual([1, []]);
    for (const script of ['backup.sh', 'base-backup.sh']) {
      const refused = await sh(script, [named, 'other'], env);
      expect([refused.code, refused.err]).toEqual([1, expect.stringContaining(`usage: ${script}`)]);
    }
  });

  test('with a passphrase, nothing readable is on disk, and the backup can be restored with it', async () => {
    const passphrase = join(newDir('keys'), 'passphrase');
    writeFileSync(passphrase, 'correct horse battery staple\n');
    const env = { BACKUP_PASSPHRASE_FILE: passphrase };
    const BACKUP_DIR = newDir('backups');
    const backup = await backUp({ ...daemon.env, ...env, BACKUP_DIR });
    const forgotten = await sh('backup.sh', [], { ...daemon.env, BACKUP_DIR });
    expect([forgotten.code, forgotten.err]).toEqual([
      1,
      expect.stringContaining('BACKUP_PASSPHRASE_FILE is not set: set it, or'),
    ]);
    expect(backupsIn(BACKUP_DIR)).toEqual([backup]);
    expect(readdirSync(backup).sort()).toEqual(['SHA256SUMS', 'database.dump.enc', 'manifest.json.enc']);
    for (const file of readdirSync(backup)) {
      expect(readFileSync(join(backup, file)).includes(loaded.clients[0]!.tenant_id)).toBe(false);
      expect(statSync(join(backup, file)).mode & 0o077).toBe(0);
    }
    const target = await emptyDatabase();
    const dry = await sh('restore.sh', ['--dry-run', '--no-ledger', backup], { ...envOf(target.connection), ...env });
    expect([dry.code, dry.err, dry.out]).toEqual([0, '', expect.stringContaining('nothing was changed')]);
    expect(await contentOf(target.connection)).toEqual([]);
    const restored = await sh('restore.sh', ['--no-ledger', backup], { ...envOf(target.connection), ...env });
    expect([restored.code, restored.out]).toEqual([0, expect.stringContaining('Restored')]);
    await target.release();
    const clear = await backUp({ ...daemon.env, BACKUP_DIR, BACKUP_ALLOW_CLEAR: 'true' });
    expect(readdirSync(clear)).toContain('database.dump');
  });

  test('backup and restore omit extensions that only a superuser can create, and keep others', async () => {
    await withClient({ ...connection(), ...superuser() }, async (admin) => {
      await admin.query('create extension pg_stat_statements; create extension pg_trgm');
      await admin.query('create index own_users on users using gin (username gin_trgm_ops)');
      await admin.query('grant select on pg_stat_statements to agent_memory_backup');
    });
    const BACKUP_DIR = newDir('backups');
    const without = await backUp({ ...daemon.env, BACKUP_DIR });
    await withClient({ ...connection(), ...superuser() }, (admin) =>
      admin.query('revoke select on pg_stat_statements from agent_memory_backup'),
    );
    const bin = newDir('bin-older');
    const all = `for a; do shift; [[ $a == --extension=* ]] || set -- "$@" "$a"; done`;
    writeFileSync(join(bin, 'pg_dump'), `#!/bin/bash\n${all}\nexec ${findTool('pg_dump')} "$@"\n`, { mode: 0o755 });
    const older = await backUp({ ...daemon.env, BACKUP_DIR: newDir('older'), PATH: `${bin}:${process.env.PATH}` });
    const has = (dir: string) =>
      readFileSync(join(dir, 'database.dump')).includes('CREATE EXTENSION IF NOT EXISTS pg_stat_statements');
    expect([has(without), has(older)]).toEqual([false, true]);
    for (const backup of [without, older]) {
      const target = await emptyDatabase();
      const restored = await sh('restore.sh', ['--no-ledger', backup], envOf(target.connection));
      expect([restored.code, restored.err]).toEqual([0, expect.stringMatching(/^complete: \d+ rows in \d+ tables, 2 tenants/m)]);
      expect(await contentOf(target.connection)).toEqual(await contentOf(connection()));
      expect(await rightsOf(target.connection)).toContainEqual(expect.stringContaining('index CREATE INDEX own_users'));
      await target.release();
    }
    await withClient({ ...connection(), ...superuser() }, (admin) =>
      admin.query('drop extension pg_stat_statements; drop extension pg_trgm cascade'),
    );
  });

  test('verify-backup.sh restores the newest backup into a scratch database and drops it', async () => {
    await withClient({ ...connection(), ...superuser() }, (client) => client.query('alter role memory createdb'));
    const env = { ...daemon.env, BACKUP_DIR: newDir('backups') };
    await backUp(env);
    mkdirSync(join(env.BACKUP_DIR, 'backup_zzzzzzzz_zzzzzz'));
    const verified = await sh('verify-backup.sh', ['latest'], env);
    expect([verified.code, verified.out]).toEqual([0, expect.stringContaining('Verified')]);
    const left = await withClient(connection(), (client) =>
      client.query(`select from pg_database where datname like 'agent\\_memory\\_verify%'`),
    );
    expect(left.rowCount).toBe(0);
  });

  test('only one backup runs at a time; old ones are removed, the newest is kept; leftovers of killed runs are removed; the time of the last success is a metric', async () => {
    const BACKUP_DIR = newDir('backups');
    const metrics = join(newDir('metrics'), 'backup.prom');
    const kept = `backup_${new Date(Date.now() - 2 * 86_400_000).toISOString().slice(0, 10).replaceAll('-', '')}_000000`;
    for (const name of ['backup_20200101_020000', kept, '.partial_backup_20200101_020000', 'backup_0of_mine_000000', 'mine'])
      mkdirSync(join(BACKUP_DIR, name));
    const env = { ...daemon.env, BACKUP_DIR, BACKUP_METRICS_FILE: metrics, BACKUP_KEEP_DAYS: '7' };
    const runs = await Promise.all([sh('backup.sh', [], env), sh('backup.sh', [], env)]);
    expect(runs.map(({ code }) => code).sort()).toEqual([0, 1]);
    expect(runs.find(({ code }) => code === 1)!.err).toContain('another backup into');
    const left = readdirSync(BACKUP_DIR).sort();
    const backup = expect.stringMatching(/^backup_20/);
    expect(left).toEqual(['.lock', 'backup_0of_mine_000000', backup, backup, 'mine']);
    expect(left).toContain(kept);
    const [, at] = /^agent_memory_backup_last_success_timestamp_seconds (\d+)$/m.exec(readFileSync(metrics, 'utf8'))!;
    expect(Math.abs(Number(at) - Date.now() / 1000)).toBeLessThan(120);
  });

  test('an incomplete backup fails, and keeps older backups and the time of the last success', async () => {
    const BACKUP_DIR = newDir('backups');
    mkdirSync(join(BACKUP_DIR, 'backup_20200101_020000'));
    const env = { ...daemon.env, BACKUP_DIR, BACKUP_METRICS_FILE: join(BACKUP_DIR, 'backup.prom') };
    const meddle = (text: string) => withClient(connection(), (client) => client.query(text));
    await meddle(
      'drop policy backup_reads on events; create policy backup_reads on events for select to agent_memory_backup using (seq < 3)',
    );
    const hidden = await sh('backup.sh', [], env);
    expect([hidden.code, hidden.err]).toEqual([1, expect.stringContaining('does not see all rows of public.events')]);
    await meddle('drop policy backup_reads on events; select let_back_up($$events$$)');
    // a truncated dump, and a dump that cannot be created
    for (const [name, script] of [
      ['cut', `${findTool('pg_dump')} "$@" | head -c 50000`],
      ['failing', 'echo "pg_dump: error: the disk is on fire" >&2; exit 1'],
    ] as const) {
      const bin = newDir(`bin-${name}`);
      writeFileSync(join(bin, 'pg_dump'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
      const run = await sh('backup.sh', [], { ...env, PATH: `${bin}:${process.env.PATH}` });
      expect([name, run.code]).toEqual([name, 1]);
    }
    const nowhere = await sh('backup.sh', [], { ...env, PGDATABASE: 'no_such_database' });
    expect([nowhere.code, nowhere.err]).toEqual([1, expect.stringContaining('does not exist')]);
    expect(readdirSync(BACKUP_DIR).sort()).toEqual(['.lock', 'backup_20200101_020000']);
    const embedded = await sh('backup.sh', [], { BACKUP_DIR });
    expect([embedded.code, embedded.err]).toEqual([1, expect.stringContaining('No PostgreSQL is configured')]);
    expect(backupsIn(BACKUP_DIR)).toHaveLength(1);
  });
});
