import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { features } from '../src/features.ts';
import { effects } from '../src/reads.ts';
import { registry } from '../src/registry.ts';

// A door exports one value for the service, `feature`, and beside it what other folders use. What it says of its feature is held
// against the code.

const root = join(import.meta.dirname, '..');
const files = ['src', 'scripts', 'tests', 'bench'].flatMap((dir) =>
  readdirSync(join(root, dir), { recursive: true, encoding: 'utf8' }).flatMap((name) =>
    name.endsWith('.ts') ? [`${dir}/${name}`] : [],
  ),
);
const text = new Map(files.map((file) => [file, readFileSync(join(root, file), 'utf8')]));
const doors = [...text.keys()].filter((file) => /^src\/\w+\/index\.ts$/.test(file) && file !== 'src/db/index.ts').sort();

/** What a file exports, without what `export *` hands on. */
const exportedBy = (source: string): string[] => [
  ...[...source.matchAll(/^export (?:async )?(?:const|function|interface|type|class) (\w+)/gm)].map(([, name]) => name!),
  ...[...source.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].flatMap(([, names]) => namesIn(names!).map(([, name]) => name!)),
];

/** `a` and `b` of `type a as b`; twice the same of `a`. */
const namesIn = (list: string): string[][] =>
  (list.match(/[^,\s][^,]*/g) ?? []).map((one) => {
    const [name, alias = name] = one
      .trim()
      .replace(/^type /, '')
      .split(' as ');
    return [name!, alias!];
  });

/** `src/auth/index.ts: openAuth` for each name that any file imports; `*` for all. */
const used = new Set(
  [...text].flatMap(([file, source]) =>
    [...source.matchAll(/^(?:import|export) (?:type )?(?:\{([^}]*)\}|(\*) as \w+) from '(\.[^']+)'/gm)].flatMap(
      ([, names, all, specifier]) => {
        const target = posix.join(posix.dirname(file), specifier!);
        return all ? [`${target}: *`] : namesIn(names!).map(([name]) => `${target}: ${name}`);
      },
    ),
  ),
);

test('a door exports its feature, and beside it what other folders use', () => {
  const open = doors.filter((door) => !used.has(`${door}: *`));
  const exported = open.flatMap((door) => exportedBy(text.get(door)!).map((name) => `${door}: ${name}`));
  expect(exported.length).toBeGreaterThan(100);
  expect(exported.filter((one) => !used.has(one))).toEqual([]);
});

test('the list has the feature of every door that exports one', () => {
  const exporting = doors.filter((door) => exportedBy(text.get(door)!).includes('feature'));
  expect(exporting.filter((door) => !new RegExp(`'./${door.slice(4)}'`).test(text.get('src/features.ts')!))).toEqual([]);
  expect(features.length).toBe(exporting.length);
});

const twice = (names: string[]) => names.filter((name, i) => names.indexOf(name) !== i);

test('every prefix that ids are made with belongs to one feature', () => {
  const listed = features.flatMap(({ prefixes = {} }) => Object.keys(prefixes));
  expect(twice(listed)).toEqual([]);
  const code = [...text].flatMap(([file, source]) => (file.startsWith('src/') ? [source] : [])).join('\n');
  // jti: of tokens, which are kept nowhere
  const made = [...code.matchAll(/\b(?:newId|makeSecret)\('(\w+)'/g)].map(([, prefix]) => prefix!).filter((one) => one !== 'jti');
  expect(made.filter((prefix) => !listed.includes(prefix))).toEqual([]);
  // a passage's id is made of its event's
  expect(listed.filter((prefix) => !made.includes(prefix))).toEqual(['chk']);
});

test('every action of the audit belongs to one feature', () => {
  expect(twice(features.flatMap(({ audit = [] }) => audit))).toEqual([]);
});

test('a worker makes of large requests what the service makes of small ones', () => {
  expect(effects).toEqual(registry.effects);
});
