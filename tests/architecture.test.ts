import { readdirSync, readFileSync } from 'node:fs';
import { basename, join, relative, sep } from 'node:path';
import { parseSync } from '@swc/core';
import { edges as features } from '../src/edges.ts';
import { callsIn, functionFolders, routines } from './support/routines.ts';

// The rules of the architecture: allowed imports, owners of packages and tables, and maximum sizes. To change a rule, change its list here.

const wiring = [
  ...['main.ts', 'daemon.ts', 'wiring.ts', 'features.ts', 'registry.ts', 'gate.ts', 'skipped.ts'],
  ...['worker.ts', 'workers.ts', 'reads.ts', 'bounds.ts', 'keys.ts'],
];
const anyMay = [
  'id.ts',
  'log.ts',
  'config.ts',
  'edges.ts',
  'examples.ts',
  'context_settings.ts',
  'generated_secrets.ts',
  'guide_settings.ts',
  'limit_settings.ts',
  'model_settings.ts',
  'redis_settings.ts',
  'server_settings.ts',
  'settings.ts',
  'setting_types.ts',
  'seal.ts',
  'signal.ts',
  'startup_error.ts',
  'time.ts',
  'within.ts',
  'portable.ts',
  'readable.ts',
  'slices.ts',
  'fair_queue.ts',
];
/** Files of mandates that need no library. The guard runs in the process of an agent, so it must not load a door. */
const guardMay = ['args_size', 'evaluate', 'globs', 'schemas', 'templates'].map((name) => `src/mandates/${name}.ts`);
const forbiddenNames = /^(utils?|helpers?|types?|constants?|common|services?|misc|shared)\.ts$/;

const root = join(import.meta.dirname, '..');
const files = listFiles('src');
const text = new Map(
  [...files, ...listFiles('tests'), ...listFiles('scripts'), ...listFiles('site')].map((file) => [
    file,
    readFileSync(join(root, file), 'utf8'),
  ]),
);

function listFiles(dir: string): string[] {
  const found = readdirSync(join(root, dir), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  return found.map((name) => `${dir}/${name.split(sep).join('/')}`).sort();
}

interface Import {
  file: string;
  /** A path such as `src/http/problem.ts`, or the name of a package. */
  target: string;
  typeOnly: boolean;
}

const imports: Import[] = files.flatMap((file) => {
  const statements = text.get(file)!.matchAll(/^(?:import|export)\s(type\s)?(?:[^'";]*?\sfrom\s)?'([^']+)'/gm);
  return [...statements].map(([, type, specifier]) => ({
    file,
    target: resolve(file, specifier!),
    typeOnly: type !== undefined,
  }));
});

function resolve(file: string, specifier: string): string {
  return specifier.startsWith('.')
    ? relative(root, join(root, file, '..', specifier))
        .split(sep)
        .join('/')
    : specifier;
}

/** Returns the folder of a file in `src` (`auth` for `src/auth/tokens.ts`), or its own name if it is directly in `src`. */
const partOf = (file: string): string => file.split('/')[1]!;
const describeImport = ({ file, target }: Import) => `${file} → ${target}`;

/** Returns the rule that an import breaks, if any. */
function faultOf({ file, target, typeOnly }: Import): string | undefined {
  const [from, to] = [partOf(file), partOf(target)];
  // config.ts reads settings.ts with the settings of each group, which use the types of setting_types.ts and the key format of seal.ts, the names
  // of other guides, and the faults of the settings of Redis.
  const groups = ['context_settings.ts', 'limit_settings.ts', 'model_settings.ts', 'redis_settings.ts', 'server_settings.ts'];
  if (
    wiring.includes(from) ||
    from === to ||
    (from === 'config.ts' && ['settings.ts', 'guide_settings.ts', 'redis_settings.ts'].includes(to)) ||
    (from === 'settings.ts' && ['seal.ts', 'setting_types.ts', ...groups].includes(to)) ||
    (groups.includes(from) && to === 'setting_types.ts')
  )
    return undefined;
  if (from === 'guard' && guardMay.includes(target)) return undefined;
  // feature.ts declares the types of the doors, which refer to types of every folder.
  if (from === 'feature.ts') return typeOnly ? undefined : 'feature.ts may import only types';
  if (to === 'feature.ts') return typeOnly && features[from] ? undefined : 'only features may import types of feature.ts';
  if (anyMay.includes(to)) return anyMay.includes(from) ? 'a file that all may import must not import others' : undefined;
  if (to === 'http') return from === 'db' ? 'db must not import http' : undefined;
  if (to === 'db') return from === 'http' || from === 'app.ts' ? 'http must not import db' : undefined;
  if (!features[from]) return 'only the wiring and features may import features';
  if (!features[from].includes(to)) return `src/edges.ts does not allow ${from} to use ${to}`;
  return target.endsWith('/index.ts') ? undefined : 'a feature must be imported through its door, index.ts';
}

test('every import is allowed', () => {
  const local = imports.filter(({ target }) => target.startsWith('src/'));
  expect(local.filter((one) => faultOf(one)).map((one) => `${describeImport(one)}: ${faultOf(one)}`)).toEqual([]);
});

test('the guard loads no package and nothing of the service but pure files', () => {
  const loaded = new Set<string>();
  const visit = (file: string): void => {
    if (loaded.has(file)) return;
    loaded.add(file);
    for (const one of imports) if (one.file === file && !one.typeOnly && !one.target.startsWith('node:')) visit(one.target);
  };
  visit('src/guard/index.ts');
  const others = [...loaded].filter((file) => partOf(file) !== 'guard');
  expect(others.filter((file) => !guardMay.includes(file) || file === 'src/mandates/schemas.ts')).toEqual([]);
});

test('every folder is listed, and a feature with routes uses all its edges', () => {
  const parts = new Set(files.map(partOf));
  const known = [...Object.keys(features), ...wiring, ...anyMay, 'app.ts', 'feature.ts', 'db', 'http'];
  expect([...parts].filter((part) => !known.includes(part))).toEqual([]);
  const used = new Set(
    imports.filter(({ target }) => target.startsWith('src/')).map(({ file, target }) => `${partOf(file)} → ${partOf(target)}`),
  );
  for (const { folder, sql } of routines) for (const name of callsIn(sql)) used.add(`${folder} → ${functionFolders.get(name)}`);
  for (const file of files)
    for (const name of callsIn(text.get(file)!)) used.add(`${partOf(file)} → ${functionFolders.get(name)}`);
  const edges = Object.entries(features).flatMap(([from, tos]) => tos.map((to) => [from, to] as const));
  const unused = edges.filter(([from, to]) => text.has(`src/${from}/routes.ts`) && !used.has(`${from} → ${to}`));
  expect(unused.map(([from, to]) => `${from} → ${to}`)).toEqual([]);
});

test('neither folders nor files depend on each other in a cycle', () => {
  const byFolder = new Map(Object.entries(features).map(([from, tos]) => [from, [...tos]]));
  const byFile = new Map(
    files.map((file) => [file, imports.filter((one) => one.file === file && !one.typeOnly).map(({ target }) => target)]),
  );
  expect([findCycle(byFolder), findCycle(byFile)]).toEqual([undefined, undefined]);
});

function findCycle(graph: Map<string, string[]>): string[] | undefined {
  const done = new Set<string>();
  const visit = (node: string, path: string[]): string[] | undefined => {
    if (path.includes(node)) return [...path.slice(path.indexOf(node)), node];
    if (done.has(node)) return undefined;
    const found = (graph.get(node) ?? []).map((next) => visit(next, [...path, node])).find(Boolean);
    done.add(node);
    return found;
  };
  return [...graph.keys()].map((node) => visit(node, [])).find(Boolean);
}

test.each([
  ['pg', /^src\/db\//],
  ['express', /^src\/(app\.ts|http\/)/],
  ['prom-client', /^src\/metrics\//],
  ['ipaddr.js', /^src\/webhooks\//],
  ['ioredis', /^src\/redis\//],
  ['bcrypt', /^src\/auth\//],
  ['jsonwebtoken', /^src\/auth\//],
  ['gpt-tokenizer', /^src\/(passages|context)\//],
])('the package %s is imported only by its owner', (name, owner) => {
  const others = imports.filter(({ target, file }) => (target === name || target.startsWith(`${name}/`)) && !owner.test(file));
  expect(others.map(describeImport)).toEqual([]);
});

test('only config.ts reads the environment', () => {
  expect(files.filter((file) => /process\.env/.test(text.get(file)!))).toEqual(['src/config.ts']);
});

test('each table is written by only one folder', () => {
  const writers = new Map<string, Set<string>>();
  for (const file of files)
    for (const [, table] of text
      .get(file)!
      .matchAll(/\b(?:insert into|update|delete from|truncate)\s+(?:public\.)?([a-z_]+)(?=[\s(])/g))
      writers.set(table!, (writers.get(table!) ?? new Set()).add(partOf(file)));
  const tables = new Set([...readSql().matchAll(/^create (?:unlogged )?table (?:public\.)?(\w+)/gm)].map(([, name]) => name));
  const shared = [...writers].filter(([table, folders]) => tables.has(table) && folders.size > 1);
  expect(shared.map(([table, folders]) => `${table}: ${[...folders].join(', ')}`)).toEqual([]);
});

function readSql(): string {
  const dir = join(root, 'migrations');
  return readdirSync(dir)
    .filter((name) => /^\d/.test(name))
    .map((name) => readFileSync(join(dir, name), 'utf8'))
    .join('\n');
}

// Expressions that may be interpolated into a statement: lists of columns, the visibility rule, limits, and choices between constants.
const constantInSql =
  /^(\w*[cC]olumns|[A-Z_]+|matchesFilter|visible(\(.*\))?|shownById(\(.*\))?|withheldIn(\(.*\))?|first( \+ \d)?|of|\w+ === '\w+' \? '[^']*' : '[^']*')$/;

test('no statement interpolates input', () => {
  const built = files.flatMap((file) =>
    [...text.get(file)!.matchAll(/`\s*(?:select|insert|update|delete|with)\s[^`]*`/g)].flatMap(([statement]) =>
      [...statement.matchAll(/\$\{([^}]*)\}/g)].map(([, inside]) => `${file}: \${${inside}}`),
    ),
  );
  expect(built.filter((one) => !constantInSql.test(/\$\{(.*)\}/.exec(one)![1]!))).toEqual([]);
});

test('at least one test of every feature runs on the embedded engine', () => {
  const { testMatch } = require('../jest.embedded.config.cjs') as { testMatch: string[] };
  const tried = new Set(testMatch.map((file) => relative(root, file).split(sep)[1]!));
  const folders = readdirSync(join(root, 'tests')).filter((name) => name in features);
  // health, redis and work have no statements, and those of secrets and doctor behave the same on both engines.
  expect(folders.filter((name) => !tried.has(name) && !['doctor', 'health', 'redis', 'secrets', 'work'].includes(name))).toEqual(
    [],
  );
});

test('tests skip an engine only by describeOnServer or testOnServer, which take a reason, and never return early', () => {
  const early =
    /\(onEmbedded\(\) \? (?:test|describe|it)\.skip|= onEmbedded\(\) \? (?:test|describe|it)\.skip|if \((?:onEmbedded\(\)|engine\.kind === 'embedded')\) return;/;
  const tests = [...text.keys()].filter((file) => file.endsWith('.test.ts') && file !== 'tests/architecture.test.ts');
  expect(tests.length).toBeGreaterThan(100);
  expect(tests.filter((file) => early.test(text.get(file)!))).toEqual([]);
});

test('no file has a generic name or more than 300 lines', () => {
  const all = [...text.keys()];
  expect(all.filter((file) => forbiddenNames.test(basename(file)))).toEqual([]);
  const long = all.map((file) => [file, text.get(file)!.split('\n').length - 1] as const).filter(([, lines]) => lines > 300);
  expect(long).toEqual([]);
});

interface Node {
  type?: string;
  span?: { start: number; end: number };
  [key: string]: unknown;
}

const isFunction = ({ type }: Node) =>
  /^(Function(Declaration|Expression)|ArrowFunctionExpression|ClassMethod|MethodProperty|Constructor)$/.test(type ?? '');

test('no function has more than 60 lines, without nested functions', () => {
  expect([...text].flatMap(([file, source]) => longFunctions(file, source))).toEqual([]);
});

/** Finds functions of more than 60 lines. Nested functions count separately, so that a list of routes is not one long function. */
function longFunctions(file: string, source: string): string[] {
  // swc's positions are cumulative over all parsed files; the first token gives the offset of this file.
  const bytes = Buffer.from(`;\n${source}`);
  const module = parseSync(bytes.toString(), { syntax: 'typescript', target: 'es2022' }) as unknown as Node;
  const base = module.span!.start;
  const lines = ({ span }: Node) =>
    bytes
      .subarray(span!.start - base, span!.end - base)
      .toString()
      .split('\n').length;
  const found: string[] = [];
  /** Returns the number of lines of nested functions. */
  const visit = (node: unknown): number => {
    if (typeof node !== 'object' || node === null) return 0;
    const inner = Object.values(node).reduce<number>((sum, child) => sum + visit(child), 0);
    if (!isFunction(node as Node)) return inner;
    const all = lines(node as Node);
    const line =
      bytes
        .subarray(0, (node as Node).span!.start - base)
        .toString()
        .split('\n').length - 1;
    if (all - inner > 60) found.push(`${file}:${line} has ${all - inner} lines`);
    return Math.max(all - 1, inner);
  };
  visit(module.body);
  return found;
}
