import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { anchorsOf, pages, proseOf, read, root } from '../support/pages.ts';

// What pages refer to exists: pages in the index, links, headings, files of the repository.

test('the index lists every page', () => {
  const listed = [...read('docs/index.md').matchAll(/^- \[[^\]]+\]\(([^)#]+)\): ./gm)].map(([, target]) => join('docs', target!));
  const expected = pages.filter((page) => page !== 'docs/index.md' && !page.startsWith('docs/runbooks/'));
  expect(expected.filter((page) => !listed.includes(page))).toEqual([]);
});

test('every link leads to a file, and to a heading of it', () => {
  const reference = readdirSync(join(root, 'docs/reference')).map((name) => `docs/reference/${name}`);
  const files = ['README.md', 'SECURITY.md', 'CONTRIBUTING.md', ...pages, ...reference];
  const dead = files.flatMap((file) =>
    [...proseOf(read(file)).matchAll(/\]\((?!\w+:)([^)#\s]*)(?:#([^)]*))?\)/g)].flatMap(([, target, anchor]) => {
      const path = target ? join(dirname(file), target) : file;
      if (!existsSync(join(root, path))) return [`${file} → ${target}`];
      const isMissing = anchor && path.endsWith('.md') && !anchorsOf(read(path)).includes(anchor);
      return isMissing ? [`${file} → ${target}#${anchor}`] : [];
    }),
  );
  expect(dead).toEqual([]);
});

/** A file of the guide that docs/deployment.md compares itself with. */
const notOurs = /^src\/db\/schema\.sql/;

test('every file of the repository that a page names exists', () => {
  const missing = ['README.md', 'SECURITY.md', 'CONTRIBUTING.md', ...pages].flatMap((file) =>
    [
      ...read(file).matchAll(
        /(?<![\w./-])(?:src|tests|scripts|bench|nginx|postgres|monitoring)\/[\w./-]+\.(?:ts|sql|sh|conf|yml|json|test\.ts)\b/g,
      ),
    ]
      .filter(([path]) => !notOurs.test(path) && !existsSync(join(root, path)))
      .map(([path]) => `${file}: ${path}`),
  );
  expect(missing).toEqual([]);
});
