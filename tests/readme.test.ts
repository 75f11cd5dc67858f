import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type SpawnedDaemon, spawnDaemon } from './support/daemon.ts';
import { daemonDatabase } from './support/database.ts';

// What the README and the guides tell people to type is typed here.

const root = join(import.meta.dirname, '..');
const read = (file: string) => readFileSync(join(root, file), 'utf8');
const blocksOf = (file: string) => [...read(file).matchAll(/```sh\n(.*?)```/gs)].map(([, block]) => block!);
const guides = readdirSync(join(root, 'docs'))
  .filter((name) => name.endsWith('.md'))
  .map((name) => `docs/${name}`);

let daemon: SpawnedDaemon;
let release: () => Promise<void>;
beforeAll(async () => {
  const database = await daemonDatabase();
  release = database.release;
  daemon = await spawnDaemon(database.env);
}, 60_000);
afterAll(async () => {
  await daemon.kill('SIGTERM');
  await release();
});

/** Runs the blocks in one shell, as a reader would, of this tenant; its output and the token it has at the end. */
function type(blocks: string[], tenant = 'acme'): Promise<{ output: string; token: string }> {
  const script = `set -euo pipefail\n${blocks.join('\necho\n')}\nprintf '\\ntoken=%s' "$TOKEN"`
    .replaceAll('localhost:3000', new URL(daemon.url).host)
    .replaceAll(/acme(?!\.example)/g, tenant);
  const shell = spawn('bash', ['-c', script], {
    env: { PATH: process.env.PATH },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [shell.stdout, shell.stderr])
    stream.on('data', (part) => {
      output += part;
    });
  return new Promise((resolve, reject) =>
    shell.on('close', (code) =>
      code === 0
        ? resolve({ output, token: /token=(.*)$/.exec(output)![1]! })
        : reject(new Error(`exit ${code}\n${script}\n${output}`)),
    ),
  );
}

test('the README’s walk-through works as written', async () => {
  const [start, tests, ...walk] = blocksOf('README.md');
  expect([start, tests]).toEqual(['npm ci && npm start\n', 'npm ci && npm test\n']);
  const typed = await type(walk);
  expect(typed.token).toMatch(/^ey/);
  expect(typed.output).toContain('"seq":3');
  expect(typed.output).toContain('Read files in blocks of 64 KiB');
  expect(typed.output).toContain('"text":"## Decisions');
  expect(typed.output).not.toContain('/docs/problems#');
}, 60_000);

test('the README’s commands and scripts are those of the package', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const named = [...guides, 'README.md', 'CONTRIBUTING.md'].flatMap((file) =>
    [...read(file).matchAll(/npm (?:run )?([a-z]+(?::[a-z]+)?)/g)].map(([, name]) => name!),
  );
  expect(named.filter((name) => !(name in scripts) && !['audit', 'ci', 'run'].includes(name))).toEqual([]);
  // the file that `npm start` runs is what this test's daemon is
  expect(scripts.start).toContain('dist/main.js');
});

/** Without what differs from run to run: ids, times, and the tenant that the page is tried in. */
const likened = (text: string) => text.replaceAll(/_[0-9a-z]{26}/g, '_…').replaceAll(/\d{4}-\d\d-\d\d(T[\d:.]+Z)?/g, 'then');

/** What the page says its commands print: of JSON the fields that hold a word, true, false or a list of nothing, of text the lines. */
function shownBy(file: string): string[] {
  const shown = [...read(file).matchAll(/```sh\n(?:.*?)```\n(?:\n|.{1,20}\n){0,4}```(?:json|text)?\n(.*?)```/gs)];
  return shown.flatMap(([, output]) => {
    const text = likened(output!);
    if (!/^[[{]/.test(text)) return text.split('\n').filter((line) => line !== '');
    return text.match(/"[a-z_]+":(?:"[A-Za-z][A-Za-z ,.]*"|true|false|\[\])(?=[,}\]])/g) ?? [];
  });
}

test.each(guides.filter((file) => blocksOf(file).length > 0))(
  'the commands of %s work as written',
  async (file) => {
    const blocks = blocksOf(file);
    // each page after the README alone, so in a tenant of its own
    const tenant = `of-${basename(file, '.md')}`;
    const { output } = await type([...blocksOf('README.md').slice(2), 'echo THE PAGE', ...blocks], tenant);
    expect(output).not.toContain('/docs/problems#');
    const printed = likened(output.slice(output.indexOf('THE PAGE')).replaceAll('\\n', '\n').replaceAll(tenant, 'acme'));
    expect(shownBy(file).filter((piece) => !printed.includes(piece))).toEqual([]);
  },
  60_000,
);

test('every link to a file leads to one', () => {
  const decisions = readdirSync(join(root, 'docs/decisions')).map((name) => `docs/decisions/${name}`);
  const dead = ['README.md', 'SECURITY.md', 'CONTRIBUTING.md', ...guides, ...decisions].flatMap((file) =>
    [...read(file).matchAll(/\]\((?!https?:)([^)#]*)(?:#[^)]*)?\)/g)]
      .filter(([, target]) => target && !existsSync(join(root, dirname(file), target)))
      .map(([, target]) => `${file} → ${target}`),
  );
  expect(dead).toEqual([]);
});

test.each(['openapi', 'configuration'])(
  'npm run %s -- --check finds its files up to date',
  (name) => {
    const { status, stderr } = spawnSync('npm', ['run', '--silent', name, '--', '--check'], { cwd: root, encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, expect.any(String)]);
  },
  60_000,
);
