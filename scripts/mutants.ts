import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';

// Mutation sampling: changes one operator, literal or condition at a time in a copy of the project, runs the tests that are named, and
// counts the changes that no test notices. `npm run mutants -- src/context/pack.ts --tests tests/context/pack --seed 1 --sample 40`.

const root = join(import.meta.dirname, '..');
const MUTANT_MS = 120_000;

interface Mutant {
  file: string;
  at: number;
  from: string;
  to: string;
}

const swaps: [RegExp, (found: string) => string][] = [
  [/ (?:===|!==) /g, (found) => (found === ' === ' ? ' !== ' : ' === ')],
  [/ (?:<=|>=|<|>) (?=[\w(-])/g, (found) => ({ ' < ': ' <= ', ' <= ': ' < ', ' > ': ' >= ', ' >= ': ' > ' })[found]!],
  [/ (?:&&|\|\|) /g, (found) => (found === ' && ' ? ' || ' : ' && ')],
  [/ [+*/-] (?=[\w(])/g, (found) => ({ ' + ': ' - ', ' - ': ' + ', ' * ': ' / ', ' / ': ' * ' })[found]!],
  [/\b(?:true|false)\b/g, (found) => String(found !== 'true')],
  [/(?<![\w.$'"/-])\d+(?![\w.'"/-])/g, (found) => String(Number(found) + 1)],
  [/(?<=\bif \()(?!!)/g, () => '!'],
  [/\.(?:some|every)\(/g, (found) => (found === '.some(' ? '.every(' : '.some(')],
  [/\bMath\.(?:min|max)\(/g, (found) => (found === 'Math.min(' ? 'Math.max(' : 'Math.min(')],
];

/** Not in comments, imports and lines of types. */
function mutantsOf(file: string): Mutant[] {
  const text = readFileSync(join(root, file), 'utf8');
  let at = 0;
  return text.split('\n').flatMap((line) => {
    const start = at;
    at += line.length + 1;
    if (/^\s*(\/\/|\/?\*|import |export type|type |interface )/.test(line)) return [];
    const code = line.replace(/ \/\/ .*$/, '');
    return swaps.flatMap(([pattern, swap]) =>
      [...code.matchAll(pattern)].map((found) => ({ file, at: start + found.index, from: found[0], to: swap(found[0]) })),
    );
  });
}

function filesOf(path: string): string[] {
  if (!statSync(join(root, path)).isDirectory()) return [path];
  return readdirSync(join(root, path))
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${path}/${name}`);
}

/** mulberry32: the same seed samples the same mutants. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function sampled(all: Mutant[], seed: number, size: number): Mutant[] {
  const random = randomOf(seed);
  return all
    .map((mutant) => ({ mutant, key: random() }))
    .sort((a, b) => a.key - b.key)
    .slice(0, size)
    .map(({ mutant }) => mutant);
}

/** Whether a test fails. A mutant that hangs is noticed too. */
function isNoticed(copy: string, tests: string[]): boolean {
  const args = ['jest', '--bail', '--silent', '--maxWorkers', '1', ...tests];
  const env = { ...process.env, TEST_ENGINE: process.env.TEST_ENGINE ?? 'postgres' };
  return spawnSync('npx', args, { cwd: copy, env, stdio: 'ignore', timeout: MUTANT_MS }).status !== 0;
}

function makeCopy(): string {
  const copy = mkdtempSync(join(tmpdir(), 'agent-memory-mutants-'));
  for (const name of readdirSync(root))
    if (!['node_modules', '.git', 'coverage'].includes(name)) cpSync(join(root, name), join(copy, name), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

function run(paths: string[], { tests, seed, sample }: { tests: string[]; seed: number; sample: number }): void {
  const chosen = sampled(paths.flatMap(filesOf).flatMap(mutantsOf), seed, sample);
  const copy = makeCopy();
  try {
    if (isNoticed(copy, tests)) throw new Error('the tests fail without a change: there is nothing to measure');
    const survivors = chosen.filter(({ file, at, from, to }) => {
      const text = readFileSync(join(root, file), 'utf8');
      writeFileSync(join(copy, file), text.slice(0, at) + to + text.slice(at + from.length));
      const noticed = isNoticed(copy, tests);
      writeFileSync(join(copy, file), text);
      if (!noticed) {
        const line = text.slice(0, at).split('\n').length;
        console.log(`survived: ${file}:${line}  "${from}" → "${to}"  ${text.split('\n')[line - 1]!.trim()}`);
      }
      return !noticed;
    });
    const noticed = chosen.length - survivors.length;
    console.log(
      `${noticed} of ${chosen.length} mutants noticed: ${((100 * noticed) / chosen.length).toFixed(0)} % (seed ${seed})`,
    );
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

new Command('mutants')
  .argument('<paths...>', 'files or folders under src')
  .requiredOption('--tests <patterns...>', 'the tests that must notice')
  .option('--seed <n>', 'which mutants', Number, 1)
  .option('--sample <n>', 'how many mutants', Number, 200)
  .action(run)
  .parse();
