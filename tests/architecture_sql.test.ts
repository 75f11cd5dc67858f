import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { edges } from '../src/edges.ts';
import { memoryKinds } from '../src/memories/schemas.ts';
import { isAct } from '../src/memories/sources.ts';
import { callsIn, functionFolders, owners, routines, tablesIn } from './support/routines.ts';

// The rules of tests/architecture.test.ts for SQL functions: the folder of a function, calls along the listed edges, one folder that writes a
// table, and sizes. The lists of exceptions may only become shorter.

const root = join(import.meta.dirname, '..');

test('a function calls only functions of its own folder, of db, and of folders that its folder may use', () => {
  const mayCall = (from: string, to: string) => to === from || to === 'db' || (edges[from] ?? []).includes(to);
  const calls = routines.flatMap(({ name, folder, sql }) =>
    callsIn(sql)
      .filter((other) => !mayCall(folder, functionFolders.get(other)!))
      .map((other) => `${folder}.${name} → ${functionFolders.get(other)}.${other}`),
  );
  expect(calls.sort()).toEqual([]);
});

test('every table has an owner', () => {
  const folders = new Set(owners.values());
  expect([...folders].filter((folder) => folder !== 'db' && !(folder in edges))).toEqual([]);
});

test('a table is written by the functions of its own folder', () => {
  const writes = routines.flatMap(({ folder, sql }) =>
    tablesIn(sql)
      .filter((table) => owners.get(table) !== folder)
      .map((table) => `${folder} writes ${table} of ${owners.get(table)}`),
  );
  expect([...new Set(writes)].sort()).toEqual(NOT_YET_OWN);
});

const NOT_YET_OWN: string[] = [];

// A rule that several statements need is one function, which the planner inlines. `pattern` matches the text of the rule.
const RULES: { rule: string; pattern: RegExp }[] = [
  { rule: 'event_of', pattern: /'evt_' \|\|/ },
  { rule: 'has_passage', pattern: /split_part\([\w.]+, '_', 3\)/ },
  { rule: 'visible', pattern: /sensitivity = any \(/ },
  { rule: 'is_shown_in', pattern: /blocked_in is null or not [\w.]+ @> array/ },
  { rule: 'is_shown_in_all', pattern: /blocked_in is null or not [\w.]+ &&/ },
  { rule: 'is_quarantined', pattern: /cardinality\([\w.]*blocked_in\)/ },
  { rule: 'trust_of', pattern: /(?:then|\?) 'stated'/ },
  { rule: 'events_of_refs', pattern: /\^art_' then \(select a\.event_id/ },
];

test('each rule is written only once', () => {
  const statements = listSources().filter(({ file }) => !file.endsWith('/functions.sql'));
  for (const { rule, pattern } of RULES) {
    const written = [
      ...routines.filter(({ sql }) => pattern.test(sql)).map(({ name }) => name),
      ...statements.filter(({ text }) => pattern.test(text)).map(({ file }) => file),
    ];
    expect({ rule, written }).toEqual({ rule, written: [rule] });
  }
});

test('no predicate compares event_id with a function of a column, which could not use the index', () => {
  const made = listSources().filter(({ text }) => /event_id = event_of\(\w+\./.test(text));
  expect(made.map(({ file }) => file)).toEqual([]);
});

test('is_act in SQL and isAct in TypeScript, which answers writes without a read, agree on the kinds', () => {
  const { sql } = routines.find(({ name }) => name === 'is_act')!;
  expect([...sql.matchAll(/'(\w+)'/g)].map(([, kind]) => kind).sort()).toEqual(memoryKinds.filter(isAct).sort());
});

const listSources = () =>
  readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(ts|sql)$/.test(file))
    .map((file) => ({ file, text: readFileSync(join(root, 'src', file), 'utf8') }));

// Otherwise PostgreSQL 15.20 cannot add a column with a default to the table (tests/db/add_column.test.ts), and once a column was added PostgreSQL 17 fails
// with XX000 ("too few column names for subquery") where the function is used.
test('a function that takes or returns rows of a table, or calls a function that returns them, has its body as a string', () => {
  const signature = (sql: string) => sql.slice(0, sql.search(/^language\b/m));
  const usesRows = (sql: string) => [...signature(sql).matchAll(/\w+ (\w+)\s*[,)\n]/g)].some(([, type]) => owners.has(type!));
  const returnsRows = routines.filter(({ sql }) => /returns/.test(sql) && usesRows(sql.slice(sql.search(/\breturns\b/))));
  const sources = new RegExp(`\\b(${returnsRows.map(({ name }) => name).join('|')})\\(`);
  const bodyOf = (sql: string) => sql.slice(sql.search(/^(return|begin atomic)\b/m));
  const parsed = routines.filter(({ sql }) => /^(return|begin atomic)\b/m.test(sql));
  expect(parsed.filter(({ sql }) => usesRows(sql) || sources.test(bodyOf(sql))).map(({ name }) => name)).toEqual([]);
});

// A volatile function takes a new snapshot for each of its statements.
test('a function that enters a tenant and only reads is stable, so that all its statements see one snapshot', () => {
  const volatile = routines.filter(({ sql }) => !/^(language \w+ )?(stable|immutable)\b/m.test(sql));
  const calls = new Map(volatile.map(({ name, sql }) => [name, callsIn(sql)]));
  const changing = new Set(volatile.filter(({ sql }) => CHANGES.test(sql)).map(({ name }) => name));
  // a Set visits what is added meanwhile
  for (const changed of changing) for (const [name, called] of calls) if (called.includes(changed)) changing.add(name);
  const readers = volatile.filter(({ name, sql }) => /\benter_tenant\(/.test(sql) && !changing.has(name));
  expect(readers.map(({ name }) => name)).toEqual([]);
});

const CHANGES =
  /\b(insert into|update \w+|delete from|for (no key )?update|for (key )?share|truncate|execute|pg_\w*advisory\w*|pg_notify)\b/;

// A disabled plan node adds 10^10 to the estimated cost, with which PostgreSQL would compile each plan.
test('a function that disables plan nodes also disables JIT compilation', () => {
  const disabling = routines.filter(({ sql }) => /\bset enable_\w+ = off/.test(sql) && !/\bset jit = off/.test(sql));
  expect(disabling.map(({ name }) => name)).toEqual([]);
});

test('a function has at most 60 lines', () => {
  const long = routines.filter(({ sql }) => sql.split('\n').length > 60).map(({ name }) => name);
  expect(long).toEqual(NOT_YET_SHORT);
});

const NOT_YET_SHORT: string[] = [];
