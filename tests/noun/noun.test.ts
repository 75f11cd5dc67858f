import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onEmbedded } from '../support/database.ts';

// A noun needs one folder, one migration, one line in src/features.ts and one in src/edges.ts. This test copies the service, adds a noun, and
// runs the tests of that noun (exercise.ts) and those that cover every noun.

const root = join(import.meta.dirname, '../..');
const here = import.meta.dirname;
const MINUTES = 60_000;

/** The tests to run in the copy: those that cover every noun, and exercise.ts in place of this file. */
const every = [
  ...['architecture', 'architecture_sql', 'features', 'db/nouns', 'db/row_level_security'],
  ...['scenarios/i1', 'export/coverage', 'erasure/coverage', 'examples/examples', 'noun/noun'],
];

let copy: string;
beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), 'noun-'));
  const isCopied =
    /^(src|migrations|scripts|site|tests|docs|bench|package\.json|openapi\.json|biome\.json|[A-Z]+\.md|.*config.*\.json|jest\..*)$/;
  for (const name of readdirSync(root).filter((one) => isCopied.test(one)))
    cpSync(join(root, name), join(copy, name), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
});
afterAll(() => rmSync(copy, { recursive: true, force: true }));

/** Inserts a line after a match in a file of the copy. */
function addLine(file: string, after: RegExp, line: string): void {
  const text = readFileSync(join(copy, file), 'utf8');
  const added = text.replace(after, (found) => `${found}${line}\n`);
  if (added === text) throw new Error(`${file} has no line that matches ${after}`);
  writeFileSync(join(copy, file), added);
}

/** Returns the number of the next migration. */
const number = () =>
  String(readdirSync(join(root, 'migrations')).filter((name) => /^\d{4}_/.test(name)).length + 1).padStart(4, '0');

function addNoun(): void {
  cpSync(join(here, 'counters'), join(copy, 'src/counters'), { recursive: true });
  cpSync(join(here, 'counters.sql'), join(copy, `migrations/${number()}_counters.sql`));
  addLine(
    'src/features.ts',
    /^import .* from '\.\/context\/index\.ts';\n/m,
    `import { feature as counters } from './counters/index.ts';`,
  );
  addLine('src/features.ts', /^ {2}context,\n/m, '  counters,');
  addLine('src/edges.ts', /^ {2}context: .*\n/m, `  counters: ['auth'],`);
}

/** Runs a command and returns its output. */
const run = (command: string, args: string[]): Promise<{ ok: boolean; output: string }> =>
  new Promise((resolve) => {
    const env = { ...process.env, TEST_ENGINE: onEmbedded() ? 'embedded' : 'postgres' };
    const options = { cwd: copy, env, maxBuffer: 64 * 1024 * 1024 };
    execFile(command, args, options, (error, stdout, stderr) => resolve({ ok: error === null, output: `${stdout}${stderr}` }));
  });

test('a noun needs a folder, a migration, a line and an import in features.ts, and a line in edges.ts', async () => {
  addNoun();
  const { output } = await run('diff', ['-r', join(root, 'src'), join(copy, 'src')]);
  const migrations = await run('diff', ['-r', join(root, 'migrations'), join(copy, 'migrations')]);
  const lines = `${output}${migrations.output}`.split('\n').filter((line) => /^([<>]|Only in)/.test(line));
  expect(lines.sort()).toEqual(
    [
      `> import { feature as counters } from './counters/index.ts';`,
      '>   counters,',
      `>   counters: ['auth'],`,
      `Only in ${join(copy, 'migrations')}: ${number()}_counters.sql`,
      `Only in ${join(copy, 'src')}: counters`,
    ].sort(),
  );
});

test(
  'the service with the new noun builds and passes the tests of every noun',
  async () => {
    // builds the copy and writes openapi.json too
    const examples = await run('npm', ['run', '--silent', 'examples']);
    if (!examples.ok) throw new Error(examples.output);
    cpSync(join(here, 'exercise.ts'), join(copy, 'tests/noun/noun.test.ts'));
    rmSync(join(copy, 'tests/noun/counters'), { recursive: true });
    const files = every.map((name) => `tests/${name}.test.ts`);
    const { ok, output } = await run(join(root, 'node_modules/.bin/jest'), ['-w', '2', '--runTestsByPath', ...files]);
    expect({ ok, output }).toEqual({
      ok: true,
      output: expect.stringContaining(`${every.length} passed, ${every.length} total`),
    });
  },
  10 * MINUTES,
);
