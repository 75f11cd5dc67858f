import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { foldersInOrder } from '../edges.ts';

/** Where a release keeps its schema, and its version. */
export interface Release {
  /** The numbered files. */
  migrations: string;
  /** Holds a folder for each entry of `folders`; those that have functions keep them in `functions.sql`. */
  functions: string;
  /** In the order in which their functions are applied. */
  folders: readonly string[];
  /** `major.minor.patch`, of package.json. */
  version: string;
}

/** The release whose package is `root`. `code` is where its modules lie: `src`, or `dist` where it was built. */
export const releaseIn = (root: string, code: string): Release => ({
  migrations: join(root, 'migrations'),
  functions: join(root, code),
  folders: foldersInOrder(),
  version: (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version,
});

// `src/db` and `dist/db` lie equally deep in the package
const code = join(import.meta.dirname, '..');
export const thisRelease: Release = { ...releaseIn(join(code, '..'), ''), functions: code };
