import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { edges } from '../../src/edges.ts';
import { features } from '../../src/features.ts';
import { workerDatabase } from '../support/database.ts';
import { functionFolders, owners } from '../support/routines.ts';

// The registry of nouns (docs/decisions/nouns.md).

let client: Client;
beforeAll(async () => {
  client = new Client((await workerDatabase()).connection);
  await client.connect();
});
afterAll(() => client.end());

const names = async (text: string, values: unknown[] = []) =>
  (await client.query<{ name: string }>(text, values)).rows.map(({ name }) => name);

/** Returns the rows of the table of hooks in a text: `name | arguments and result | …`. */
function hooksIn(file: string, row: RegExp): string[] {
  const text = readFileSync(join(import.meta.dirname, '../..', file), 'utf8');
  return [...text.matchAll(row)].map(([, name]) => name!).filter((name) => name !== 'hook');
}

const documented = hooksIn('docs/decisions/nouns.md', /^\| `?([a-z_]+)`? \|/gm);

test('both tables list the same hooks', () => {
  expect(hooksIn('src/db/functions.sql', /^-- {3}([a-z_]+) \|/gm)).toEqual(documented);
});

test('every noun is a folder or a part of the log', async () => {
  const nouns = await names('select noun as name from nouns order by place');
  expect(nouns.filter((noun) => !(noun in edges))).toEqual(['idempotency']);
});

test('the prefix of every noun is declared by a feature', async () => {
  const prefixes = features.flatMap(({ prefixes = {} }) => Object.keys(prefixes));
  const registered = await names('select id_prefix as name from nouns where id_prefix is not null');
  expect(registered.filter((prefix) => !prefixes.includes(prefix))).toEqual([]);
});

test('all hooks with the same name have the same signature', async () => {
  const differing = await names(
    `select h.hook as name
     from unnest($1::text[]) h (hook) join nouns n on true join pg_proc p on p.proname = n.noun || '_' || h.hook
     group by h.hook
     having count(distinct (pg_get_function_identity_arguments(p.oid), pg_get_function_result(p.oid))) > 1`,
    [documented],
  );
  expect(differing).toEqual([]);
});

test('a hook is in the folder of its noun', async () => {
  const nouns = await names('select noun as name from nouns');
  const astray = nouns.flatMap((noun) =>
    documented
      .map((hook) => `${noun}_${hook}`)
      .filter((name) => functionFolders.has(name) && ![noun, 'db'].includes(functionFolders.get(name)!)),
  );
  expect(astray).toEqual([]);
});

test('hooks lists the nouns that have one, in the order of their registration', async () => {
  await client.query('begin');
  await client.query(`
    create function capsules_tested() returns int language sql return 1;
    create function artifacts_tested() returns int language sql return 2;
    create function strangers_tested() returns int language sql return 3`);
  expect(await names(`select * from hooks('tested') name`)).toEqual(['artifacts', 'capsules']);
  expect(await names(`select * from hooks('untested') name`)).toEqual([]);
  await client.query('rollback');
});

/** Required hooks of a noun whose tables refer to events by a seq or an id. */
const required = ['clear', 'forget', 'held', 'needs', 'check', 'repair'];

test('a noun that refers to the log has all required hooks, or its migration opts out', async () => {
  const bound = await names(
    `select distinct table_name as name from information_schema.columns where table_schema = 'public' and column_name in ('seq', 'event_id')`,
  );
  const { rows } = await client.query<{ noun: string; without: string[]; hooks: string[] }>(
    `select n.noun, n.without, array(select h from unnest($1::text[]) h where to_regproc(n.noun || '_' || h) is not null) as hooks
     from nouns n order by n.place`,
    [required],
  );
  const tied = rows.filter(({ noun }) => bound.some((table) => owners.get(table) === noun));
  expect(tied.length).toBeGreaterThan(5);
  expect(
    tied.flatMap(({ noun, without, hooks }) =>
      required.filter((hook) => hooks.includes(hook) === without.includes(hook)).map((hook) => `${noun}_${hook}`),
    ),
  ).toEqual([]);
});
