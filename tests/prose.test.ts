import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { extract } from '../scripts/prose-text.ts';

const project = join(import.meta.dirname, '..');
const bad = 'Waits in vain for the lock';
const sentenceOf = (words: number) => `${Array.from({ length: words }, (_, i) => `Word${i}`).join(' ')}.\n`;

/** A file of each kind, with the line of the planted sentence. */
const planted: [file: string, text: string, line: number][] = [
  ['README.md', `# Title\n\n${bad}, as \`in vain\` does.\n`, 3],
  ['SECURITY.md', `- ${bad}.\n`, 1],
  ['docs/guide.md', `| limit | meaning |\n| --- | --- |\n| 1 | ${bad} |\n`, 3],
  ['docs/runbooks/Alert.md', `# Alert\n\n> ${bad}\n`, 3],
  ['src/lock.ts', `export const name = 'in vain';\n// Acquires the lock. Waits in\n// vain until it is free.\n`, 2],
  ['src/doc.ts', `/**\n * ${bad}.\n */\nexport const one = 1;\n`, 1],
  ['src/http/problem.ts', `export const problems = {\n  locked: [423, 'Locked', '${bad}.'],\n};\n`, 2],
  ['src/lock/functions.sql', `select 1; -- ${bad}\n`, 1],
  ['src/lock/raise.sql', `begin\n  raise exception '${bad}' using errcode = 'AM409';\nend\n`, 2],
  ['migrations/0015_lock.sql', `\n-- Acquires the lock. Waits in\n-- vain.\n`, 2],
  ['tests/lock.test.ts', `test.each([1])('%i ${bad}', () => expect('waits in vain too').toBe(1));\n`, 1],
  ['bench/lock.ts', `const one = 1; // ${bad}\n`, 1],
  ['scripts/lock.sh', `#!/bin/sh\n# ${bad}\n`, 2],
  ['docker-compose.prod.yml', `services: # ${bad}\n`, 1],
  ['nginx/nginx.conf', `\n# ${bad}\n`, 2],
  ['kubernetes/pod.yaml', `spec:\n  # ${bad}\n`, 2],
  ['monitoring/rules/alerts.yml', `annotations:\n  summary: '${bad}'\n`, 2],
  ['api.json', `{\n "summary": "List locks",\n "description": "${bad}"\n}\n`, 3],
];

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'agent-memory-prose-'));
});
afterEach(() => rmSync(root, { recursive: true }));

function write(file: string, text: string): void {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), text);
}

async function lint(): Promise<{ code: number; lines: string[] }> {
  const run = promisify(execFile)(process.execPath, ['--import', 'tsx', 'scripts/prose.ts', root], { cwd: project });
  const { code = 0, stderr } = (await run.catch((error: { code: number; stderr: string }) => error)) as {
    code?: number;
    stderr: string;
  };
  return { code, lines: stderr.trim().split('\n') };
}

test('a rejected wording in a file of any kind is reported once, with its file and line', async () => {
  for (const [file, text] of planted) write(file, text);
  const { code, lines } = await lint();
  expect(code).toBe(1);
  const places = lines.slice(0, -1).map((line) => line.split(': ')[0]);
  expect(places.sort()).toEqual(planted.map(([file, , line]) => `${file}:${line}`).sort());
});

test('a sentence in the docs may have 40 words; one of 41 fails', async () => {
  write('docs/long.md', `${sentenceOf(40)}\n- ${sentenceOf(41)}\n| a |\n| --- |\n| ${sentenceOf(41).trim()} |\n`);
  const { code, lines } = await lint();
  expect([code, lines.length]).toEqual([1, 3]);
  expect(lines[0]).toMatch(/^docs\/long\.md:3: 41 words in a sentence, at most 40/);
  expect(lines[1]).toMatch(/^docs\/long\.md:7: 41 words/);
});

test('prose without a fault passes', async () => {
  write('docs/guide.md', `${sentenceOf(20)}${sentenceOf(30)}`);
  write('src/lock.ts', '// Waits at most 2 s.\nexport const one = "in vain";\n');
  expect(await lint()).toEqual({ code: 0, lines: ['2 files, 1 passages, 0 faults'] });
});

test('comments on consecutive lines are one passage, and inline code is left out', () => {
  expect(extract('src/a.ts', 'const a = 1; // one\n// two `x y`\n// three\nconst b = 2;\n// four\n')).toEqual([
    { file: 'src/a.ts', line: 1, text: 'one' },
    { file: 'src/a.ts', line: 2, text: 'two `code` three' },
    { file: 'src/a.ts', line: 5, text: 'four' },
  ]);
});
