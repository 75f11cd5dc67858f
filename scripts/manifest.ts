import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { Command } from 'commander';
import * as backup from '../src/backup/index.ts';
import { loadConfig, usesEmbedded } from '../src/config.ts';
import { migrateUp, migrationStatus } from '../src/db/migrate.ts';
import { readMigrations } from '../src/db/migrations.ts';
import { connectionOf, createPool, partsOfUrl } from '../src/db/pool.ts';
import { type Db, dbOf } from '../src/db/query.ts';
import { thisRelease } from '../src/db/release.ts';
import { awaitReplay } from '../src/db/restore.ts';
import { createLogger } from '../src/log.ts';
import { startupMessage } from '../src/startup_error.ts';

// Commands for scripts/backup.sh and scripts/restore.sh, which are the only callers.

const program = new Command('manifest').description(
  'Writes and checks the manifest of a backup, for scripts/backup.sh and scripts/restore.sh.',
);
program.command('env').description('prints the configured connection as PG* variables for a shell').action(env);
program
  .command('take <dump> <command...>')
  .description('runs a command that dumps the snapshot $BACKUP_SNAPSHOT, and prints the manifest of the same snapshot')
  .action(take);
program.command('count').description('counts the rows of each table in the output of pg_restore on standard input').action(count);
program
  .command('check <manifest> <dump>')
  .description('checks that the dump matches the manifest (row counts on standard input) and that this release can restore it')
  .option('--target', 'also check that it can be restored into the configured database')
  .option('--prepare', 'also create the roles that the dump mentions')
  .action(check);
program
  .command('finish <manifest>')
  .description('compares the restored database with the manifest, then migrates it to this release')
  .option('--heads <file>', 'file to write the heads of the audit to, for `npm run audit:verify`')
  .action(finish);
program
  .command('abandon')
  .description('revokes the rights that were granted for a restore that was rolled back')
  .action(() => onDatabase(({ db }) => backup.finishTarget(db)));

program.parseAsync().catch((error: unknown) => {
  console.error(`error: ${startupMessage(error)}`);
  process.exitCode = 1;
});

function env(): void {
  const config = loadConfig();
  if (usesEmbedded(config))
    throw new Error(
      'No PostgreSQL is configured (PGHOST or DATABASE_URL). The embedded database is backed up by copying DATA_DIR while the daemon is stopped.',
    );
  const { host, port, user, database, password, sslmode }: Partial<ReturnType<typeof partsOfUrl>> =
    config.DATABASE_URL === undefined ? connectionOf(config) : partsOfUrl(config.DATABASE_URL);
  const variables = {
    PGHOST: host,
    PGPORT: String(port),
    PGUSER: user,
    PGDATABASE: database,
    PGPASSWORD: password,
    PGSSLMODE: sslmode ?? config.PGSSLMODE,
    PGSSLROOTCERT: config.PGSSLROOTCERT ?? '',
    ERASURE_LEDGER: resolve(config.ERASURE_LEDGER ?? join(config.DATA_DIR, 'erasures.ndjson')),
  };
  for (const [name, value] of Object.entries(variables))
    console.log(value ? `export ${name}='${value.replaceAll("'", "'\\''")}'` : `unset ${name}`);
  console.log('unset DATABASE_URL POSTGRES_PASSWORD PGPASSWORD_FILE POSTGRES_PASSWORD_FILE DATABASE_URL_FILE');
}

async function take(dump: string, [command, ...args]: [string, ...string[]]): Promise<void> {
  const manifest = await onDatabase(({ db, client }) =>
    backup.withSnapshot(db, async (snapshot) => {
      const [fingerprint] = await Promise.all([snapshot.fingerprint(), run(command, args, snapshot.id)]);
      return backup.newManifest(
        thisRelease.version,
        snapshot.setting,
        fingerprint,
        await migrationsOf(client),
        await fileOf(dump),
      );
    }),
  );
  console.log(JSON.stringify(manifest, null, 1));
}

async function run(command: string, args: string[], snapshot: string): Promise<void> {
  // Standard output is reserved for the manifest.
  const child = spawn(command, args, { stdio: ['ignore', 2, 2], env: { ...process.env, BACKUP_SNAPSHOT: snapshot } });
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  if (code !== 0) throw new Error(`the dump failed (${signal ?? `exit code ${code}`})`);
}

async function fileOf(path: string): Promise<backup.Manifest['dump']> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const part of createReadStream(path) as AsyncIterable<Buffer>) {
    hash.update(part);
    bytes += part.length;
  }
  return { bytes, sha256: hash.digest('hex') };
}

async function check(file: string, dump: string, { target, prepare }: { target?: boolean; prepare?: boolean }): Promise<void> {
  const manifest = readManifest(file);
  const found = await fileOf(dump);
  if (found.sha256 !== manifest.dump.sha256)
    throw new Error(`The dump does not belong to the manifest: ${found.bytes} bytes, SHA-256 ${found.sha256}.`);
  const fault = backup.schemaMismatch(manifest, await readMigrations(thisRelease.migrations));
  if (fault) throw new Error(fault);
  refuse('The dump does not match its manifest', backup.rowDifferences(manifest, await readRows()));
  if (!target) return;
  await onDatabase(async ({ db }) => {
    const inTheWay = await backup.targetProblem(db, manifest);
    if (inTheWay) throw new Error(inTheWay);
    if (prepare) await backup.prepareTarget(db, manifest);
  });
}

async function count(): Promise<void> {
  const counts = await backup.countRows(process.stdin);
  process.stdout.write([...counts].map(([name, rows]) => `${name} ${rows}\n`).join(''));
}

/** Reads lines of the form `name count`. */
async function readRows(): Promise<Map<string, number>> {
  const rows = new Map<string, number>();
  for await (const line of createInterface({ input: process.stdin })) {
    const [, name, count] = /^(.+) (\d+)$/.exec(line) ?? [];
    if (name === undefined) throw new Error(`not a row count: ${line}`);
    rows.set(name, Number(count));
  }
  return rows;
}

async function finish(file: string, { heads }: { heads?: string }): Promise<void> {
  const manifest = readManifest(file);
  await onDatabase(async ({ db, client }) => {
    await backup.finishTarget(db);
    refuse('The restored database does not match the manifest', backup.differences(manifest, await backup.fingerprintOf(db)));
    await migrateUp(client, thisRelease, { info: console.error, warn: console.error });
    await awaitReplay(client);
  });
  const lines = manifest.tenants.map(({ tenant_id, audit_seq, audit_mac }) =>
    JSON.stringify({ tenant: tenant_id, seq: audit_seq, mac: audit_mac }),
  );
  if (heads !== undefined) writeFileSync(heads, lines.map((line) => `${line}\n`).join(''));
  const rows = manifest.tables.reduce((sum, table) => sum + table.rows, 0);
  console.error(
    `complete: ${rows} rows in ${manifest.tables.length} tables, ${manifest.tenants.length} tenants, as of ${manifest.made_at}`,
  );
}

function refuse(what: string, lines: string[]): void {
  if (lines.length > 0) throw new Error(`${what}:\n  ${lines.join('\n  ')}`);
}

function readManifest(file: string): backup.Manifest {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
    return backup.manifest.parse(JSON.parse(text));
  } catch (cause) {
    throw new Error(`The manifest cannot be read: ${(cause as Error).message}`, { cause });
  }
}

async function migrationsOf(client: Session['client']): Promise<backup.Manifest['migrations']> {
  const { applied, newer } = await migrationStatus(client);
  return [...applied, ...newer].map(({ version, name, hash }) => ({ version, name, hash }));
}

interface Session {
  client: Parameters<typeof migrateUp>[0];
  db: Db;
}

/** Runs `work` in a session of the configured user. */
async function onDatabase<T>(work: (session: Session) => Promise<T>): Promise<T> {
  const config = loadConfig();
  const pool = createPool({ ...connectionOf(config), embedded: false }, config, createLogger('silent'));
  const client = await pool.dedicated();
  try {
    return await work({ client, db: dbOf(client, false) });
  } finally {
    await client.end();
    await pool.end();
  }
}
