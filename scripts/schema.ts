import { execFile } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Command } from 'commander';
import { migrateUp } from '../src/db/migrate.ts';
import { thisRelease } from '../src/db/release.ts';
import { findBinaries, startCluster, type TestConnection, withClient } from '../tests/support/cluster.ts';
import { makeRunDir } from '../tests/support/run-dir.ts';

const FILE = join(thisRelease.migrations, 'schema.sql');
const HEADER = '-- What the migrations amount to, for reading: made by `npm run schema`, checked in CI, never run.\n';
const quiet = { info: () => undefined, warn: console.error };

const program = new Command('npm run schema --')
  .description('Writes migrations/schema.sql: a dump of what the migrations make, on a scratch PostgreSQL.')
  .option('--check', 'write nothing; fail if the file is not up to date')
  .action((options: { check?: boolean }) => run(options.check ?? false));

program.parseAsync().catch((error: Error) => {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
});

async function run(check: boolean): Promise<void> {
  const fresh = await dumpSchema();
  if (!check) {
    writeFileSync(FILE, fresh);
    return console.error(`wrote ${FILE}`);
  }
  const committed = existsSync(FILE) ? readFileSync(FILE, 'utf8') : '';
  if (committed !== fresh)
    throw new Error(
      `migrations/schema.sql is not what the migrations make${firstDifference(committed, fresh)}\nRun \`npm run schema\` and commit it.`,
    );
  console.error('migrations/schema.sql is up to date');
}

async function dumpSchema(): Promise<string> {
  const bin = findBinaries();
  if (!bin) throw new Error('no PostgreSQL ≥ 15 found in PATH or /usr/lib/postgresql: install one');
  const run_dir = makeRunDir();
  try {
    const { admin, owner } = await startCluster(bin, join(run_dir.path, 'cluster'));
    const connection: TestConnection = { ...admin, ...owner, database: 'schema' };
    await withClient(admin, (client) => client.query(`create database schema owner ${owner.user}`));
    await withClient(connection, (client) => migrateUp(client, thisRelease, quiet));
    return await dump(join(bin, 'pg_dump'), connection);
  } finally {
    await run_dir.remove();
  }
}

async function dump(pg_dump: string, { host, port, user, database }: TestConnection): Promise<string> {
  const args = ['--schema-only', '-h', host, '-p', String(port), '-U', user, database];
  const { stdout } = await promisify(execFile)(pg_dump, args, { maxBuffer: 64 * 1024 * 1024 });
  return HEADER + stripped(stdout, user);
}

/** Without what differs from machine to machine (versions, the owner, the random words of \restrict) and without the settings on top. */
function stripped(text: string, user: string): string {
  const body = text.slice(text.indexOf('\n--\n-- Name: '));
  return body
    .replace(new RegExp(`^ALTER .* OWNER TO ${user};\\n\\n?`, 'gm'), '')
    .replace(/^--\n(-- Name: .*?)(; Owner: .*)?\n--\n/gm, '$1\n')
    .replace(/^(\\(un)?restrict .*|SET default_.*)\n/gm, '')
    .replace(/^--\n-- PostgreSQL database dump complete\n--\n/m, '')
    .replace(/\n{3,}/g, '\n\n')
    .trimEnd()
    .concat('\n');
}

function firstDifference(before: string, after: string): string {
  const old = before.split('\n');
  const at = after.split('\n').findIndex((line, index) => line !== old[index]);
  return at < 0
    ? ''
    : `; first difference in line ${at + 1}:\n  committed: ${old[at] ?? ''}\n  made:      ${after.split('\n')[at]}`;
}
