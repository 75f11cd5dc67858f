import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { features } from '../src/features.ts';
import { effects } from '../src/reads.ts';
import { registry } from '../src/registry.ts';

// The door of a feature exports one value for the service, `feature`, and what other folders import. These tests compare the declarations
// of the features with the code.

const root = join(import.meta.dirname, '..');
const files = ['src', 'scripts', 'tests', 'bench'].flatMap((dir) =>
  readdirSync(join(root, dir), { recursive: true, encoding: 'utf8' }).flatMap((name) =>
    name.endsWith('.ts') ? [`${dir}/${name}`] : [],
  ),
);
const text = new Map(files.map((file) => [file, readFileSync(join(root, file), 'utf8')]));
const doors = [...text.keys()].filter((file) => /^src\/\w+\/index\.ts$/.test(file) && file !== 'src/db/index.ts').sort();

/** Returns the names that a file exports, without `export *`. */
const exportedBy = (source: string): string[] => [
  ...[...source.matchAll(/^export (?:async )?(?:const|function|interface|type|class) (\w+)/gm)].map(([, name]) => name!),
  ...[...source.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].flatMap(([, names]) => namesIn(names!).map(([, name]) => name!)),
];

/** Parses a list of imported names: `[a, b]` for `type a as b`, `[a, a]` for `a`. */
const namesIn = (list: string): string[][] =>
  (list.match(/[^,\s][^,]*/g) ?? []).map((one) => {
    const [name, alias = name] = one
      .trim()
      .replace(/^type /, '')
      .split(' as ');
    return [name!, alias!];
  });

/** Contains `src/auth/index.ts: openAuth` for each imported name, with `*` for a namespace import. */
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

/** The doors that users of the package import. */
const published = Object.values(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).exports).flatMap((entry) =>
  typeof entry === 'string' ? [] : [(entry as { default: string }).default.replace('./dist/', 'src/').replace(/js$/, 'ts')],
);

test('a door exports only its feature and what other folders import', () => {
  const open = doors.filter((door) => !used.has(`${door}: *`) && !published.includes(door));
  const exported = open.flatMap((door) => exportedBy(text.get(door)!).map((name) => `${door}: ${name}`));
  expect(exported.length).toBeGreaterThan(100);
  expect(exported.filter((one) => !used.has(one))).toEqual([]);
});

test('src/features.ts lists the feature of every door', () => {
  const exporting = doors.filter((door) => exportedBy(text.get(door)!).includes('feature'));
  expect(exporting.filter((door) => !new RegExp(`'./${door.slice(4)}'`).test(text.get('src/features.ts')!))).toEqual([]);
  expect(features.length).toBe(exporting.length);
});

const duplicates = (names: string[]) => names.filter((name, i) => names.indexOf(name) !== i);

test('every prefix of ids belongs to exactly one feature', () => {
  const listed = features.flatMap(({ prefixes = {} }) => Object.keys(prefixes));
  expect(duplicates(listed)).toEqual([]);
  const code = [...text].flatMap(([file, source]) => (file.startsWith('src/') ? [source] : [])).join('\n');
  const made = [...code.matchAll(/\b(?:newId|makeSecret)\('(\w+)'/g)].map(([, prefix]) => prefix!);
  expect(made.filter((prefix) => !listed.includes(prefix))).toEqual([]);
  // The id of a passage is derived from that of its event.
  expect(listed.filter((prefix) => !made.includes(prefix))).toEqual(['chk']);
});

test('every audit action belongs to exactly one feature', () => {
  expect(duplicates(features.flatMap(({ audit = [] }) => audit))).toEqual([]);
});

test('workers derive the same effects from large requests as the service from small ones', () => {
  expect(effects).toEqual(registry.effects);
});
