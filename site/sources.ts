import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, posix, sep } from 'node:path';

// The Markdown files that become pages, and the URL of each.

export interface Source {
  /** Path from the root of the repository: `docs/events.md`. */
  file: string;
  /** Path of the page: `/docs/events`. */
  url: string;
  markdown: string;
}

const ROOT_FILES = ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md'];

/** Returns every page of the site, sorted by file. A folder that docs/index.md links to gets a list of its pages. */
export function readSources(root: string): Source[] {
  const inDocs = filesUnder(root, 'docs').filter((file) => file.endsWith('.md'));
  const written = [...ROOT_FILES, ...inDocs].map((file) => sourceOf(file, readFileSync(join(root, file), 'utf8')));
  const index = written.find(({ file }) => file === 'docs/index.md')?.markdown ?? '';
  const folders = [...new Set(inDocs.map((file) => posix.dirname(file)))];
  const listings = folders
    .filter((folder) => index.includes(`](${basename(folder)})`))
    .map((folder) => listingOf(folder, written));
  const sources = [...written, ...listings].sort((a, b) => (a.file < b.file ? -1 : 1));
  const clash = sources.find(({ url }, i) => sources.findIndex((other) => other.url === url) !== i);
  if (clash) throw new Error(`two pages have the URL ${clash.url}`);
  return sources;
}

/** Returns the files in a folder and its subfolders, as paths from the root with forward slashes. */
export function filesUnder(root: string, folder: string): string[] {
  const entries = readdirSync(join(root, folder), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => posix.join(folder, ...entry.parentPath.slice(join(root, folder).length).split(sep), entry.name))
    .sort();
}

const sourceOf = (file: string, markdown: string): Source => ({ file, url: urlOf(file), markdown });

function urlOf(file: string): string {
  const path = file.replace(/\.md$/, '');
  if (!path.startsWith('docs/')) return `/docs/${path.toLowerCase()}`;
  return `/${path.replace(/\/index$/, '')}`;
}

/** The first heading, or the name of the file. */
const titleOf = ({ file, markdown }: Source): string => /^# (.+)$/m.exec(markdown)?.[1] ?? basename(file, '.md');

function listingOf(folder: string, sources: Source[]): Source {
  const name = basename(folder);
  const links = sources
    .filter(({ file }) => dirname(file) === folder)
    .map((source) => `- [${titleOf(source)}](${basename(source.file)})`);
  return sourceOf(`${folder}/index.md`, `# ${name[0]!.toUpperCase()}${name.slice(1)}\n\n${links.join('\n')}\n`);
}
