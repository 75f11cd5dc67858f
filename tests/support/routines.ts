import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { edges } from '../../src/edges.ts';

const root = join(import.meta.dirname, '../..');

export interface Routine {
  name: string;
  folder: string;
  sql: string;
}

/** All SQL functions, with their folders. */
export const routines: Routine[] = [...Object.keys(edges), 'db'].flatMap((folder) => {
  const file = join(root, 'src', folder, 'functions.sql');
  if (!existsSync(file)) return [];
  const parts = readFileSync(file, 'utf8').split(/^(?=create or replace function )/m);
  return parts.flatMap((sql) => {
    const name = /^create or replace function (\w+)/.exec(sql)?.[1];
    return name === undefined ? [] : [{ name, folder, sql: definitionIn(sql) }];
  });
});

/** Removes what follows the function in its file: owner, grants and the comment of the next function. */
function definitionIn(sql: string): string {
  const lines = sql.split('\n');
  return lines
    .filter((line) => !/^(--|alter function|grant execute|revoke execute|create or replace aggregate)/.test(line))
    .join('\n')
    .trimEnd();
}

export const functionFolders = new Map(routines.map(({ name, folder }) => [name, folder]));

/** Returns the functions that a statement calls. */
export const callsIn = (sql: string): string[] =>
  [...functionFolders.keys()].filter((name) => new RegExp(`\\b${name}\\(`).test(sql));

/** Returns the tables that a statement writes. */
export const tablesIn = (sql: string): string[] =>
  [...sql.matchAll(/\b(?:insert into|update|delete from)\s+(?:public\.)?(\w+)(?=[\s(])/g)].flatMap(([, table]) =>
    owners.has(table!) ? [table!] : [],
  );

/** The folder that owns each table. A migration is named after the folder that owns its tables. */
export const owners = new Map(
  readdirSync(join(root, 'migrations'))
    .filter((name) => /^\d{4}_/.test(name))
    .flatMap((name) => {
      const folder = name.slice(5, -4).replace(/^(wall|log)$/, 'db');
      const sql = readFileSync(join(root, 'migrations', name), 'utf8');
      return [...sql.matchAll(/^create (?:unlogged )?table (\w+)/gm)].map(([, table]) => [table!, folder] as const);
    }),
);
