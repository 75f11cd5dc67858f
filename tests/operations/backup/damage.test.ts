import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Manifest } from '../../../src/backup/index.ts';
import { message } from '../../support/client.ts';
import { withClient } from '../../support/cluster.ts';
import { emptyDatabase, type TestDatabase } from '../../support/database.ts';
import { describeWith } from '../../support/tool.ts';
import { backUp, envOf, newDir, sh, startLoaded, superuser } from './set.ts';

// Each kind of damage is applied to a copy of a good backup, in some cases with recomputed checksums. No damaged backup may reach the database.

const flip = (file: string) => {
  const bytes = readFileSync(file);
  bytes[Math.floor(bytes.length / 2)]! ^= 1;
  writeFileSync(file, bytes);
};
/** The rows are compressed, after the statements. */
const scratchRows = (file: string) => {
  const bytes = readFileSync(file);
  const at = Math.floor(bytes.length * 0.95);
  writeFileSync(file, bytes.fill(0xff, at, at + 256));
};
const spoil = (file: string) => {
  const bytes = readFileSync(file);
  bytes.write('CREATE TABL!', bytes.indexOf('CREATE TABLE'));
  writeFileSync(file, bytes);
};
const edit = (dir: string, change: (manifest: Manifest) => void) => {
  const file = join(dir, 'manifest.json');
  const manifest = JSON.parse(readFileSync(file, 'utf8'));
  change(manifest);
  writeFileSync(file, JSON.stringify(manifest));
};
const sha256 = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');
/** Recomputes the checksums of the files. */
const sign = (dir: string) => {
  const names = readdirSync(dir).filter((name) => name !== 'SHA256SUMS');
  writeFileSync(join(dir, 'SHA256SUMS'), names.map((name) => `${sha256(join(dir, name))}  ${name}\n`).join(''));
};
/** Also makes the manifest name this dump. */
const signAll = (dir: string) => {
  edit(dir, (manifest) => {
    manifest.dump.sha256 = sha256(join(dir, 'database.dump'));
  });
  sign(dir);
};

interface Sources {
  plain: string;
  other: string;
  encrypted: string;
  withoutEvents: string;
  passphrase: string;
}

type Step = (dir: string, sources: Sources) => void;
const dumpOf = (dir: string) => join(dir, 'database.dump');
const kinds: { name: string; of?: 'encrypted'; damage: Step | Step[]; told: RegExp }[] = [
  { name: 'a dump that was cut off', damage: (dir) => truncateSync(dumpOf(dir), 20_000), told: /checksums do not match/ },
  { name: 'a bit flipped in the middle', damage: (dir) => flip(dumpOf(dir)), told: /checksums do not match/ },
  {
    name: 'a bit flipped, with new checksums',
    damage: [(dir) => flip(dumpOf(dir)), sign],
    // which of the two depends on the bit: some make pg_restore crash
    told: /does not belong to the manifest|the dump is damaged/,
  },
  {
    name: 'rows overwritten, with new checksums and a new manifest',
    damage: [(dir) => scratchRows(dumpOf(dir)), signAll],
    told: /the dump is damaged/,
  },
  {
    name: 'a statement of the dump changed, with new checksums and a new manifest',
    damage: [(dir) => spoil(dumpOf(dir)), signAll],
    told: /rolled back: nothing was written/,
  },
  { name: 'an empty dump, with new checksums', damage: [(dir) => truncateSync(dumpOf(dir)), sign], told: /the dump is damaged/ },
  { name: 'no dump', damage: (dir) => rmSync(dumpOf(dir)), told: /has no database\.dump/ },
  {
    name: 'checksums of something else',
    damage: (dir, { other }) => cpSync(join(other, 'SHA256SUMS'), join(dir, 'SHA256SUMS')),
    told: /checksums do not match/,
  },
  { name: 'no checksums', damage: (dir) => rmSync(join(dir, 'SHA256SUMS')), told: /has no SHA256SUMS/ },
  {
    name: 'checksums that leave the dump out',
    damage: (dir) => {
      const file = join(dir, 'SHA256SUMS');
      writeFileSync(file, readFileSync(file, 'utf8').replace(/^.*database\.dump\n/m, ''));
    },
    told: /does not name database\.dump/,
  },
  { name: 'no manifest', damage: (dir) => rmSync(join(dir, 'manifest.json')), told: /has no manifest\.json/ },
  {
    name: 'a manifest that is no JSON',
    damage: [(dir) => writeFileSync(join(dir, 'manifest.json'), '{'), sign],
    told: /manifest cannot be read/,
  },
  {
    name: 'a manifest that counts other rows',
    damage: (dir) => {
      edit(dir, (manifest) => {
        manifest.tables.find((table) => table.name === 'public.events')!.rows += 1;
      });
      sign(dir);
    },
    told: /43 rows of public\.events, the manifest has 44|42 rows of public\.events, the manifest has 43/,
  },
  {
    name: 'the manifest of another backup',
    damage: [(dir, { other }) => cpSync(join(other, 'manifest.json'), join(dir, 'manifest.json')), sign],
    told: /does not belong to the manifest/,
  },
  {
    name: 'the manifest of another backup, made to name this dump',
    damage: [(dir, { other }) => cpSync(join(other, 'manifest.json'), join(dir, 'manifest.json')), signAll],
    told: /rows of public\.events, the manifest has/,
  },
  {
    name: 'a table whose rows were left out of the dump, all signed again',
    damage: [(dir, { withoutEvents }) => cpSync(withoutEvents, dumpOf(dir)), signAll],
    told: /0 rows of public\.events, the manifest has/,
  },
  {
    name: 'a schema newer than this code',
    damage: (dir) => {
      edit(dir, ({ migrations }) => migrations.push({ version: 999, name: '0999_later', hash: 'f'.repeat(64) }));
      sign(dir);
    },
    told: /newer than this code/,
  },
  {
    name: 'a schema made by other migrations',
    damage: (dir) => {
      edit(dir, ({ migrations }) => Object.assign(migrations[3]!, { hash: 'f'.repeat(64) }));
      sign(dir);
    },
    told: /migration 0004_artifacts differs/,
  },
  {
    name: 'the wrong passphrase',
    of: 'encrypted',
    damage: (_dir, { passphrase }) => writeFileSync(passphrase, 'another\n'),
    told: /right passphrase|manifest cannot be read/,
  },
  {
    name: 'no passphrase',
    of: 'encrypted',
    damage: (_dir, { passphrase }) => rmSync(passphrase),
    told: /is empty or cannot be read/,
  },
];

describeWith(['pg_dump', 'pg_restore', 'flock', 'openssl'], 'a damaged backup', () => {
  let target: TestDatabase;
  let sources: Sources;
  beforeAll(async () => {
    const { daemon, clients } = await startLoaded();
    const [dir, sealed] = [newDir('backups'), newDir('sealed')];
    const passphrase = join(newDir('keys'), 'passphrase');
    writeFileSync(passphrase, 'correct horse battery staple\n');
    const plain = await backUp({ ...daemon.env, BACKUP_DIR: dir });
    const encrypted = await backUp({ ...daemon.env, BACKUP_DIR: sealed, BACKUP_PASSPHRASE_FILE: passphrase });
    const withoutEvents = join(newDir('without'), 'dump');
    const { PGHOST, PGPORT, PGDATABASE } = daemon.env;
    const as = ['-h', PGHOST!, '-p', PGPORT!, '-U', superuser().user, '-Fc', '-f', withoutEvents];
    execFileSync('pg_dump', [...as, '--exclude-table-data=events', '--no-unlogged-table-data', PGDATABASE!]);
    await clients[0]!.request('POST', '/v1/events', { body: message('one more') });
    const other = await backUp({ ...daemon.env, BACKUP_DIR: dir });
    sources = { plain, other, encrypted, withoutEvents, passphrase };
    target = await emptyDatabase();
    await daemon.stop();
  });
  afterAll(() => target.release());

  /** Nothing was created, and only the owner can create objects. */
  const untouched = async () => {
    const { rows } = await withClient(target.connection, (client) =>
      client.query(`
        select (select count(*)::int from pg_class where relnamespace = 'public'::regnamespace)
          + (select count(*)::int from pg_proc where pronamespace = 'public'::regnamespace)
          + (select count(*)::int from pg_namespace n cross join aclexplode(n.nspacl) a
             where n.nspname = 'public' and a.privilege_type = 'CREATE' and a.grantee <> 'pg_database_owner'::regrole) as objects`),
    );
    return rows[0].objects === 0;
  };

  test.each(kinds)('$name is detected before anything is written', async ({ of, damage, told }) => {
    const dir = newDir('damaged');
    cpSync(of === 'encrypted' ? sources.encrypted : sources.plain, dir, { recursive: true });
    const passphrase = join(dir, '..', `passphrase-${process.pid}`);
    cpSync(sources.passphrase, passphrase);
    for (const step of [damage].flat()) step(dir, { ...sources, passphrase });
    const env = { ...envOf(target.connection), ...(of === 'encrypted' && { BACKUP_PASSPHRASE_FILE: passphrase }) };
    const run = await sh('restore.sh', ['--no-ledger', dir], env);
    expect([run.code, run.err]).toEqual([1, expect.stringMatching(told)]);
    expect(await untouched()).toBe(true);
  });

  test('a good backup is rejected if it would overwrite data, disturb a session, lose its owner, or undo erasures', async () => {
    const env = envOf(target.connection);
    const restore = (args: string[], more: Record<string, string> = {}) =>
      sh('restore.sh', [...args, sources.plain], { ...env, ...more });
    const told = async (run: ReturnType<typeof sh>) => (await run).err;
    expect(await told(restore([], { ERASURE_LEDGER: '/nowhere/erasures.ndjson' }))).toMatch(/the ledger of erasures \/nowhere/);
    expect(await told(restore(['--no-ledger'], { PGUSER: superuser().user }))).toMatch(/connect as memory/);
    await withClient(target.connection, async (client) => {
      expect(await told(restore(['--no-ledger']))).toMatch(/in use by 1 other session/);
      await client.query('create table precious (n int); insert into precious values (1)');
    });
    expect(await told(restore(['--no-ledger']))).toMatch(/not empty/);
    const { rows } = await withClient(target.connection, (client) => client.query('select n from precious'));
    expect(rows).toEqual([{ n: 1 }]);
    await withClient(target.connection, (client) => client.query('drop table precious'));
    expect(await restore(['--no-ledger'])).toMatchObject({ code: 0 });
  });
});
