import { spawn, spawnSync } from 'node:child_process';
import { type SpawnedDaemon, spawnDaemon } from './support/daemon.ts';
import { daemonDatabase } from './support/database.ts';
import { blocksOf, pages, read, root } from './support/pages.ts';

// Runs the commands of the README. tests/docs/pages.test.ts runs those of all other pages.

let daemon: SpawnedDaemon;
let release: () => Promise<void>;
beforeAll(async () => {
  const database = await daemonDatabase();
  release = database.release;
  daemon = await spawnDaemon(database.env);
}, 300_000);
afterAll(async () => {
  await daemon.kill('SIGTERM');
  await release();
});

/** Runs the blocks in one shell, as a reader would. Returns their output and the final value of TOKEN. */
function type(blocks: string[]): Promise<{ output: string; token: string }> {
  const script = `set -euo pipefail\n${blocks.join('\necho\n')}\nprintf '\\ntoken=%s' "$TOKEN"`.replaceAll(
    'localhost:3000',
    new URL(daemon.url).host,
  );
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
  const [start, tests, ...walk] = blocksOf(read('README.md')).flatMap(({ language, text }) => (language === 'sh' ? [text] : []));
  expect([start, tests]).toEqual(['npm ci && npm start\n', 'npm ci && npm test\n']);
  const typed = await type(walk);
  expect(typed.token).toMatch(/^ey/);
  expect(typed.output).toContain('"seq":3');
  expect(typed.output).toContain('Read files in blocks of 64 KiB');
  expect(typed.output).toContain('"text":"## Decisions');
  expect(typed.output).not.toContain('/docs/problems#');
}, 60_000);

test('the README fits two screens', () => {
  const lines = read('README.md').split('\n');
  expect(lines.length).toBeLessThanOrEqual(76);
  expect(lines.filter((line) => line.length > 100)).toEqual([]);
});

test('the npm scripts in the docs exist', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const named = [...pages, 'README.md', 'CONTRIBUTING.md'].flatMap((file) =>
    [...read(file).matchAll(/\bnpm (?:run )?([a-z]+(?::[a-z]+)?)/g)].map(([, name]) => name!),
  );
  const ofNpm = ['audit', 'ci', 'init', 'install', 'pack', 'run'];
  expect(named.filter((name) => !(name in scripts) && !ofNpm.includes(name))).toEqual([]);
  // The daemon of this test runs the same file.
  expect(scripts.start).toContain('dist/main.js');
});

test.each(['openapi', 'configuration'])(
  'npm run %s -- --check reports that its files are up to date',
  (name) => {
    const { status, stderr } = spawnSync('npm', ['run', '--silent', name, '--', '--check'], { cwd: root, encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, expect.any(String)]);
  },
  60_000,
);
