import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { foldersInOrder } from '../edges.ts';

/** The schema files of a release, and its version. */
export interface Release {
  /** Directory of the numbered files. */
  migrations: string;
  /** Directory with a subdirectory for each entry of `folders`, which may contain `functions.sql`. */
  functions: string;
  /** Subdirectories in the order in which their functions are applied. */
  folders: readonly string[];
  /** `major.minor.patch`, from package.json. */
  version: string;
}

/** Returns the release whose package is in `root`. `code` is the directory of its modules: `src`, or `dist` if it was built. */
export const releaseIn = (root: string, code: string): Release => ({
  migrations: join(root, 'migrations'),
  functions: join(root, code),
  folders: foldersInOrder(),
  version: (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version,
});

// the same depth for `src/db` and `dist/db`
const code = join(import.meta.dirname, '..');
export const thisRelease: Release = { ...releaseIn(join(code, '..'), ''), functions: code };
