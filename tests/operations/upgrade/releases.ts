import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

// Releases to upgrade between: directories with dist/, migrations/ and the packages of this checkout.

const root = join(import.meta.dirname, '../../..');
const git = (...args: string[]) =>
  execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
const isMigration = (name: string) => /^\d{4}_.+\.sql$/.test(name);

export interface Release {
  name: string;
  root: string;
}

export const thisRelease: Release = { name: 'this release', root };
export const newestMigration = (): number => readdirSync(join(root, 'migrations')).filter(isMigration).length;

interface Changed {
  folder: string;
  from: string;
  to: string;
}

/** This code with additional migrations and a changed SQL function. */
export function nextRelease(dir: string, migrations: { sql: string; min_code: number }[], changed: Changed): Release {
  mkdirSync(dir);
  for (const part of ['dist', 'migrations', 'package.json']) cpSync(join(root, part), join(dir, part), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(dir, 'node_modules'));
  migrations.forEach(({ sql, min_code }, i) => {
    const number = String(newestMigration() + 1 + i).padStart(4, '0');
    writeFileSync(join(dir, 'migrations', `${number}_next.sql`), `-- What comes next.\n-- min_code: ${min_code}\n${sql}\n`);
  });
  const file = join(dir, 'dist', changed.folder, 'functions.sql');
  const functions = readFileSync(file, 'utf8');
  if (!functions.includes(changed.from)) throw new Error(`${file} does not say ${changed.from}`);
  writeFileSync(file, functions.replace(changed.from, changed.to));
  const pack = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')) as { version: string };
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ ...pack, version: '999.0.0' }));
  return { name: 'the next release', root: dir };
}

export type Previous = { commit: string } | { absent: string };

/**
 * The previous release: PREVIOUS_RELEASE, else the last tag, else the last commit with fewer migrations, all of which are unchanged. There is none,
 * with a reason, if the current schema requires newer code or the history is not available.
 */
export function findPrevious(): Previous {
  try {
    const named = process.env.PREVIOUS_RELEASE;
    const commit = named ? git('rev-parse', '--verify', `${named}^{commit}`) : (lastTag() ?? lastWithFewerMigrations());
    return commit ? fits(commit) : { absent: isShallow() ? CUT_OFF : 'no earlier commit can live with this schema' };
  } catch (error) {
    const said = (error as { stderr?: string }).stderr?.trim().split('\n')[0] ?? (error as Error).message;
    return { absent: isShallow() ? CUT_OFF : said };
  }
}

const CUT_OFF = 'the history of this checkout is cut off';

function isShallow(): boolean {
  try {
    return git('rev-parse', '--is-shallow-repository') === 'true';
  } catch {
    // Git or the repository is missing; the caller reports git's message.
    return false;
  }
}

function lastTag(): string | undefined {
  const tags = git('tag', '--merged', 'HEAD^', '--list', 'v[0-9]*', '--sort=-version:refname').split('\n').filter(Boolean);
  return tags[0] && git('rev-parse', `${tags[0]}^{commit}`);
}

/** Returns the hashes of all migrations at a commit, in order. */
function migrationsAt(commit: string): string[] {
  const lines = git('ls-tree', commit, 'migrations/').split('\n').filter(Boolean);
  return lines
    .map((line) => line.split(/\s+/))
    .filter(([, , , path]) => isMigration(path!.slice('migrations/'.length)))
    .map(([, , hash]) => hash!);
}

const migrationsHere = (): string[] => {
  const files = readdirSync(join(root, 'migrations')).filter(isMigration).sort();
  return git('hash-object', ...files.map((name) => `migrations/${name}`)).split('\n');
};

const leastCode = (): number => {
  const files = readdirSync(join(root, 'migrations')).filter(isMigration);
  const said = execFileSync('grep', ['-h', '-m1', '^-- min_code: ', ...files.map((name) => `migrations/${name}`)], {
    cwd: root,
    encoding: 'utf8',
  });
  return Math.max(
    ...said
      .trim()
      .split('\n')
      .map((line) => Number(line.slice('-- min_code: '.length))),
  );
};

const isPrefix = (old: string[], now: string[]) => old.every((hash, i) => hash === now[i]);

function lastWithFewerMigrations(): string | undefined {
  const now = migrationsHere();
  const commits = git('log', '--first-parent', '--format=%H', '--', 'migrations').split('\n').filter(Boolean);
  // For the newest migration and each earlier one, the parent of the commit that added it.
  const before = commits.flatMap((commit) => parentOf(commit) ?? []);
  return [git('rev-parse', 'HEAD'), ...before].find((commit) => {
    const old = migrationsAt(commit);
    return old.length < now.length && old.length >= leastCode() && isPrefix(old, now);
  });
}

function parentOf(commit: string): string | undefined {
  const [, parent] = git('rev-list', '--parents', '-n', '1', commit).split(' ');
  return parent;
}

function fits(commit: string): Previous {
  const old = migrationsAt(commit);
  if (!isPrefix(old, migrationsHere())) return { absent: `${commit.slice(0, 7)} has other migrations` };
  return old.length >= leastCode()
    ? { commit }
    : { absent: `the schema needs code that knows migration ${leastCode()}, ${commit.slice(0, 7)} knows ${old.length}` };
}

/** Builds the release from its commit, in a separate directory with the packages of this checkout. */
export function buildPrevious(commit: string, dir: string): Release {
  mkdirSync(dir);
  const tar = execFileSync('git', ['archive', commit], { cwd: root, maxBuffer: 512 * 1024 * 1024 });
  execFileSync('tar', ['-x', '-C', dir], { input: tar });
  symlinkSync(join(root, 'node_modules'), join(dir, 'node_modules'));
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: dir });
  return { name: `the release before (${commit.slice(0, 7)})`, root: dir };
}
