import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { features } from '../src/features.ts';

// What the doors say of their features, held against the code.

const src = join(import.meta.dirname, '../src');
const text = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => readFileSync(join(src, name), 'utf8'))
  .join('\n');
const twice = (names: string[]) => names.filter((name, i) => names.indexOf(name) !== i);

test('every prefix that ids are made with belongs to one feature', () => {
  const listed = features.flatMap(({ prefixes = {} }) => Object.keys(prefixes));
  expect(twice(listed)).toEqual([]);
  // jti: of tokens, which are kept nowhere
  const made = [...text.matchAll(/\b(?:newId|makeSecret)\('(\w+)'/g)].map(([, prefix]) => prefix!).filter((one) => one !== 'jti');
  expect(made.filter((prefix) => !listed.includes(prefix))).toEqual([]);
  expect(listed.filter((prefix) => !made.includes(prefix))).toEqual(['chk']);
});

test('every action of the audit belongs to one feature', () => {
  expect(twice(features.flatMap(({ audit = [] }) => audit))).toEqual([]);
});
