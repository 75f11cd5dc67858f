import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClientBase } from 'pg';
import { SchemaError } from './schema_error.ts';

// Each folder has the current definitions of its SQL functions in `functions.sql`, a repeatable migration: the file is applied if its hash
// differs from the recorded one, after the numbered migrations and in the order of src/edges.ts. During a rolling upgrade daemons of two
// releases share a database. Therefore a release applies its files only if the recorded release is not newer, and a function that was
// removed from its file is dropped by the next release.

export interface FunctionFile {
  folder: string;
  hash: string;
  sql: string;
  names: string[];
}

interface FunctionState {
  folder: string;
  state: 'applied' | 'pending' | 'newer than this code';
  applied_at: string | null;
}

const DEFINITION = /^create (?:or replace )?(?:function|procedure|aggregate) (?:public\.)?(\w+)/gim;

const definedNames = (sql: string): string[] => [...sql.matchAll(DEFINITION)].map(([, name]) => name!);

/** Reads the files of a release in the order in which they are applied. `root` contains the folders: `src` or `dist`. */
export async function readFunctions(root: string, folders: readonly string[]): Promise<FunctionFile[]> {
  const existing = folders.filter((folder) => existsSync(join(root, folder, 'functions.sql')));
  if (existsSync(join(root, 'db')) && !existing.includes('db'))
    throw new SchemaError(`${root}/db has no functions.sql: the build is incomplete, run \`npm run build\`.`);
  const files = await Promise.all(existing.map((folder) => readFunctionFile(root, folder)));
  assertDefinedOnce(files);
  return files;
}

async function readFunctionFile(root: string, folder: string): Promise<FunctionFile> {
  const sql = (await readFile(join(root, folder, 'functions.sql'), 'utf8')).replaceAll('\r\n', '\n');
  return { folder, hash: createHash('sha256').update(sql).digest('hex'), sql, names: definedNames(sql) };
}

function assertDefinedOnce(files: FunctionFile[]): void {
  const folders = new Map<string, string>();
  for (const { folder, names } of files)
    for (const name of names) {
      const other = folders.get(name);
      if (other !== undefined)
        throw new SchemaError(
          `The SQL function ${name} is defined in ${other}/functions.sql and in ${folder}/functions.sql: remove one.`,
        );
      folders.set(name, folder);
    }
}

interface Recorded {
  folder: string;
  hash: string;
  names: string[];
  release: string;
  applied_at: string;
}

export interface FunctionPlan {
  /** Files that the release may apply and whose hash differs from the recorded one. */
  pending: FunctionFile[];
  /** The functions in the database are of a newer release. */
  newer: boolean;
  states: FunctionState[];
}

/** Returns which functions of a release have to be applied. Changes nothing. */
export async function planFunctions(client: ClientBase, files: FunctionFile[], release: string): Promise<FunctionPlan> {
  const recorded = await readRecorded(client);
  const newer = recorded.some((row) => compareReleases(row.release, release) > 0);
  const known = new Map(recorded.map((row) => [row.folder, row]));
  const isPending = ({ folder, hash }: FunctionFile) => !newer && known.get(folder)?.hash !== hash;
  return {
    pending: files.filter(isPending),
    newer,
    states: files.map((file) => ({
      folder: file.folder,
      state: isPending(file)
        ? 'pending'
        : newer && known.get(file.folder)?.hash !== file.hash
          ? 'newer than this code'
          : 'applied',
      applied_at: known.get(file.folder)?.applied_at ?? null,
    })),
  };
}

async function readRecorded(client: ClientBase): Promise<Recorded[]> {
  const { rows } = await client.query<{ exists: boolean }>(`select to_regclass('public.schema_functions') is not null as exists`);
  if (!rows[0]?.exists) return [];
  const text = `select folder, hash, names, release, to_char(applied_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as applied_at
    from public.schema_functions`;
  return (await client.query<Recorded>(text)).rows;
}

/** Applies the pending files in the caller's transaction, which holds the migration lock. */
export async function applyFunctions(
  client: ClientBase,
  pending: FunctionFile[],
  { release, functions, migrations }: { release: string; functions: FunctionFile[]; migrations: { sql: string }[] },
): Promise<void> {
  const recorded = await readRecorded(client);
  await client.query(allowDefiners('grant'));
  for (const file of pending) {
    await runFunctionFile(client, file);
    const text = `insert into public.schema_functions (folder, hash, names, release) values ($1, $2, $3, $4)
      on conflict (folder) do update set hash = excluded.hash, names = excluded.names, release = excluded.release, applied_at = now()`;
    await client.query(text, [file.folder, file.hash, file.names, release]);
  }
  await client.query(allowDefiners('revoke'));
  const defined = [...migrations.flatMap(({ sql }) => definedNames(sql)), ...functions.flatMap(({ names }) => names)];
  await assertOneSignature(client, defined);
  const removed = recorded.flatMap(({ names }) => names).filter((name) => !defined.includes(name));
  await dropRemoved(client, removed, defined, release);
}

async function runFunctionFile(client: ClientBase, { folder, sql }: FunctionFile): Promise<void> {
  try {
    await client.query(sql);
  } catch (cause) {
    const { message, position, code } = cause as Error & { position?: string; code?: string };
    if (code === '42501') throw cause;
    const line = position ? `:${sql.slice(0, Number(position)).split('\n').length}` : '';
    throw new SchemaError(`src/${folder}/functions.sql${line} failed and was rolled back: ${message}`, { cause });
  }
}

/** Throws if a function has two signatures: `create or replace` with different arguments does not replace the old function. */
async function assertOneSignature(client: ClientBase, defined: string[]): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    `select p.proname as name from pg_proc p where p.pronamespace = 'public'::regnamespace and p.proname = any ($1) group by 1 having count(*) > 1`,
    [defined],
  );
  if (rows[0])
    throw new SchemaError(
      `The SQL function ${rows[0].name} has two signatures: rename the new one for one release, so that daemons of the previous release can still call the old one.`,
    );
}

/**
 * Grants or revokes `create` on the schema. A definer function is owned by a role that owns nothing else, and the transfer of ownership
 * requires this privilege.
 */
const allowDefiners = (verb: 'grant' | 'revoke') => `
do $$
declare
  v_role text;
begin
  for v_role in
    select r.rolname from pg_roles r where r.rolname like 'agent\\_memory\\_%' and r.rolname <> 'agent_memory_app' and pg_has_role(current_user, r.oid, 'member')
  loop
    execute format('${verb} create on schema public ${verb === 'grant' ? 'to' : 'from'} %I', v_role);
  end loop;
end $$`;

/** Records functions that no file defines any more, and drops those recorded by an earlier release, which its daemons may have called. */
async function dropRemoved(client: ClientBase, left: string[], defined: string[], release: string): Promise<void> {
  await client.query('delete from public.schema_gone where name = any ($1)', [defined]);
  await client.query(
    'insert into public.schema_gone (name, release) select distinct n, $2 from unnest($1::text[]) n on conflict (name) do nothing',
    [left, release],
  );
  const { rows: removed } = await client.query<{ name: string; release: string }>('select name, release from public.schema_gone');
  const names = removed.filter((row) => compareReleases(row.release, release) < 0).map(({ name }) => name);
  const { rows } = await client.query<{ signature: string }>(selectSignatures, [names]);
  // in one statement: a function with a parsed body depends on those that it calls, which may go too
  if (rows.length > 0) await client.query(`drop routine ${rows.map(({ signature }) => signature).join(', ')}`);
  await client.query('delete from public.schema_gone where name = any ($1)', [names]);
}

const selectSignatures = `
select p.oid::regprocedure::text as signature
from pg_proc p
where p.pronamespace = 'public'::regnamespace and p.proname = any ($1)
order by p.oid desc`;

/** Runs before the first migration, which grants the backup role access to all existing tables. */
export const createFunctionTables = `
create table if not exists public.schema_functions (
  folder text not null,
  hash text not null,
  -- functions that the file defines; only functions that were once in a file are dropped
  names text[] not null,
  release text not null,
  applied_at timestamptz not null default now(),
  constraint schema_functions_pkey primary key (folder)
);
create table if not exists public.schema_gone (
  name text not null,
  release text not null,
  constraint schema_gone_pkey primary key (name)
)`;

/** Compares two releases `major.minor.patch`; negative if `one` is older. */
function compareReleases(one: string, other: string): number {
  const [a, b] = [one, other].map((release) => release.split(/[.-]/).slice(0, 3).map(Number)) as [number[], number[]];
  return a.map((part, place) => part - (b[place] ?? 0)).find((difference) => difference !== 0) ?? 0;
}
