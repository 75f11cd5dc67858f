import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type ParserPlugin, parse } from '@babel/parser';

// Finds the files that hold prose, and extracts from those that are not Markdown what people read: comments, messages, test names,
// descriptions. Each passage becomes one line of text.

export interface Passage {
  file: string;
  line: number;
  text: string;
}
type Line = Omit<Passage, 'file'>;

const FOLDERS = [
  'docs',
  'site',
  'src',
  'tests',
  'bench',
  'scripts',
  'migrations',
  'monitoring',
  'nginx',
  'kubernetes',
  'postgres',
  '.ci',
];
const extractors: [RegExp, (source: string, file: string) => Line[]][] = [
  [/\.(ts|m?js|cjs)$/, fromTypeScript],
  [/\.sql$/, (source) => [...comments(source, '--'), ...quoted(source)]],
  [/\.json$/, descriptions],
  [/\.ya?ml$/, (source) => [...comments(source, '#'), ...descriptions(source)]],
  [/\.(conf|sh|tpl|service|timer|example)$|^Dockerfile$|^\.ci\/(run|long)$/, (source) => comments(source, '#')],
];
/** Generated files and data. */
const SKIPPED =
  /^(docs\/reference\/|migrations\/schema\.sql|kubernetes\/helm\/agent-memory\/(dashboards|rules)\/|package-lock\.json|tests\/.*\/(corpus|fixtures)\/)/;

/** Paths relative to `root` of all files with prose: those of the folders above, and those at the root. */
export function proseFiles(root: string): string[] {
  const top = readdirSync(root, { withFileTypes: true });
  const inFolders = top
    .filter((entry) => entry.isDirectory() && FOLDERS.includes(entry.name))
    .flatMap(({ name }) => readdirSync(join(root, name), { recursive: true, encoding: 'utf8' }).map((file) => `${name}/${file}`));
  return [...top.filter((entry) => entry.isFile()).map(({ name }) => name), ...inFolders]
    .filter((file) => !SKIPPED.test(file) && (file.endsWith('.md') || extractorOf(file)))
    .sort();
}

const extractorOf = (file: string) => extractors.find(([pattern]) => pattern.test(file))?.[1];

/** The passages of a file that is not Markdown. Inline code is replaced by one word, so that no rule looks into it. */
export function extract(file: string, source: string): Passage[] {
  return extractorOf(file)!(source, file).map(({ line, text }) => ({
    file,
    line,
    text: text
      .replace(/`[^`]*`/g, '`code`')
      .replace(/\s+/g, ' ')
      .trim(),
  }));
}

function joinAdjacent(lines: (Line & { alone: boolean })[]): Line[] {
  const joined: (Line & { alone: boolean; last: number })[] = [];
  for (const one of lines) {
    const before = joined.at(-1);
    if (before?.alone && one.alone && before.last === one.line - 1)
      Object.assign(before, { text: `${before.text} ${one.text}`, last: one.line });
    else joined.push({ ...one, last: one.line });
  }
  return joined;
}

/** Comments that begin with `mark` and end with the line; lines of comments that follow each other are one passage. */
function comments(source: string, mark: string): Line[] {
  const pattern = new RegExp(`^(.*?)(?<!\\S)${mark}\\s(.*)$`);
  const lines = source.split('\n').flatMap((text, index) => {
    const found = pattern.exec(text);
    return found ? [{ line: index + 1, text: found[2]!, alone: found[1]!.trim() === '' }] : [];
  });
  return joinAdjacent(lines);
}

/** String literals of SQL that are several words: messages of exceptions and refusals. */
function quoted(source: string): Line[] {
  return source
    .split('\n')
    .flatMap((text, index) =>
      /^\s*--/.test(text)
        ? []
        : [...text.matchAll(/'((?:[^']|'')+)'/g)]
            .filter(([, value]) => isProse(value!))
            .map(([, value]) => ({ line: index + 1, text: value! })),
    );
}

/** Titles, summaries and descriptions, in JSON with one member per line or in YAML. */
function descriptions(source: string): Line[] {
  return source.split('\n').flatMap((text, index) => {
    const found = /^\s*"?(?:title|summary|description)"?:\s+(["']?)(.+?)\1,?$/.exec(text);
    return found ? [{ line: index + 1, text: found[2]!.replace(/\\[nt"]/g, ' ') }] : [];
  });
}

const isProse = (text: string) =>
  /\S+\s+\S+\s+\S+/.test(text.trim()) &&
  !/^\s*(select|insert|update|delete|with|begin|set|reset|create|alter|drop|explain|lock|grant|truncate|and|or|where|from)\s/.test(
    text,
  );

interface Node {
  type: string;
  loc: { start: { line: number } };
  [key: string]: unknown;
}

/** Comments, and strings of several words; of a test file only the names of its tests, because its other strings are data. */
function fromTypeScript(source: string, file: string): Line[] {
  const plugins: ParserPlugin[] = file.endsWith('.ts') ? ['typescript'] : [];
  const tree = parse(source, { sourceType: 'unambiguous', plugins, attachComment: false });
  const rows = source.split('\n');
  const remarks = tree.comments!.map(({ value, loc }) => ({
    line: loc!.start.line,
    text: value.replace(/^\s*\*+/gm, ' '),
    alone: rows[loc!.start.line - 1]!.trim().startsWith('//'),
  }));
  const texts: Line[] = [];
  const add = (node: Node) => texts.push(...literal(node));
  const visit = (node: Node): void => {
    if (!file.startsWith('tests/')) add(node);
    else if (isTest(node)) (node.arguments as Node[]).forEach(add);
    for (const child of Object.values(node).flat()) if (isNode(child)) visit(child);
  };
  visit(tree.program as unknown as Node);
  return [...joinAdjacent(remarks), ...texts.filter(({ text }) => isProse(text))].sort((a, b) => a.line - b.line);
}

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && 'type' in value && 'loc' in value;

/** A call of `test`, `describe` or a variant: `test.each(table)(name, …)`, `describeOnServer(reason, name, …)`. */
function isTest(node: Node): boolean {
  if (node.type !== 'CallExpression') return false;
  let callee = node.callee as Node;
  while (callee.type !== 'Identifier') {
    const inner = callee.type === 'MemberExpression' ? callee.object : callee.callee;
    if (!isNode(inner)) return false;
    callee = inner;
  }
  return /^(test|it|describe)([A-Z]\w*)?$/.test(callee.name as string);
}

function literal(node: Node): Line[] {
  const { line } = node.loc.start;
  if (node.type === 'StringLiteral') return [{ line, text: node.value as string }];
  if (node.type !== 'TemplateLiteral') return [];
  const pieces = (node.quasis as { value: { cooked: string } }[]).map(({ value }) => value.cooked);
  return [{ line, text: pieces.join('`value`') }];
}
