import { type ChildProcess, fork } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { transformSync } from '@swc/core';
import { Command } from 'commander';
import setUp from '../tests/support/global-setup.ts';
import tearDown from '../tests/support/global-teardown.ts';

// Mutation sampling: changes one operator, literal or condition at a time in a copy of the project, runs the given tests, and counts the
// changes that no test detects. `npm run mutants -- src/context/pack.ts --tests tests/context/pack --seed 1 --sample 40`.

const root = join(import.meta.dirname, '..');
/** A mutant counts as detected if it takes this many times as long as the unchanged code, plus SPARE_MS. */
const SLOWER = 5;
const SPARE_MS = 10_000;
/** A worker is replaced after this many runs, because Jest retains some memory of each. */
const RUNS_OF_A_WORKER = 60;

interface Mutant {
  file: string;
  /** The original text of the file. */
  text: string;
  at: number;
  from: string;
  to: string;
}

/** A change that no caller can observe. `line` is the text of the line, `why` the reason. */
interface Equivalent {
  file: string;
  line: string;
  from: string;
  to: string;
  why: string;
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

const changed = ({ text, at, from, to }: Mutant): string => text.slice(0, at) + to + text.slice(at + from.length);

/** Returns the compiled code, or undefined if it does not compile. */
function compiled(text: string): string | undefined {
  try {
    return transformSync(text, { jsc: { target: 'es2022', parser: { syntax: 'typescript' } }, sourceMaps: false }).code;
  } catch {
    return undefined;
  }
}

/** Returns all mutants of a file, except in comments and imports, those that change only a type, and those that do not compile. */
function mutantsOf(file: string): Mutant[] {
  const text = readFileSync(join(root, file), 'utf8');
  const original = compiled(text);
  let at = 0;
  const all = text.split('\n').flatMap((line) => {
    const start = at;
    at += line.length + 1;
    if (/^\s*(\/\/|\/?\*|import )/.test(line)) return [];
    const code = line.replace(/ \/\/ .*$/, '');
    return swaps.flatMap(([pattern, swap]) =>
      [...code.matchAll(pattern)].map((found) => ({ file, text, at: start + found.index, from: found[0], to: swap(found[0]) })),
    );
  });
  return all.filter((mutant) => ![undefined, original].includes(compiled(changed(mutant))));
}

function filesOf(path: string): string[] {
  if (!statSync(join(root, path)).isDirectory()) return [path];
  return readdirSync(join(root, path))
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${path}/${name}`);
}

function placeOf({ text, at }: Mutant): { line: number; said: string } {
  const line = text.slice(0, at).split('\n').length;
  return { line, said: text.split('\n')[line - 1]!.trim() };
}

const equivalents: Equivalent[] = JSON.parse(readFileSync(join(root, 'tests/equivalent-mutants.json'), 'utf8'));

/** Fails if the line of an equivalent mutant has changed, because a test may be able to detect the mutant now. */
function requireKnownLines(): void {
  const gone = equivalents.filter(
    ({ file, line }) =>
      !readFileSync(join(root, file), 'utf8')
        .split('\n')
        .some((each) => each.trim() === line),
  );
  if (gone.length > 0)
    throw new Error(`the lines no longer exist: ${gone.map(({ file, line }) => `${file}: ${line}`).join('; ')}`);
}

const isEquivalent = (mutant: Mutant): boolean =>
  equivalents.some(
    ({ file, line, from, to }) =>
      mutant.file === file && mutant.from === from && mutant.to === to && placeOf(mutant).said === line,
  );

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

function makeCopy(): string {
  const copy = mkdtempSync(join(tmpdir(), 'agent-memory-mutants-'));
  for (const name of readdirSync(root))
    if (!['node_modules', '.git', 'coverage', 'dist'].includes(name))
      cpSync(join(root, name), join(copy, name), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

/** Creates a runner that returns the first failing test, if any. It replaces its child process when that hangs or has grown. */
function makeRunner(copy: string, tests: string[]) {
  let child: ChildProcess | undefined;
  let runs = 0;
  const stop = () => {
    child?.kill('SIGKILL');
    child = undefined;
  };
  const noticedBy = async (limit_ms: number): Promise<string | null> => {
    if (runs++ % RUNS_OF_A_WORKER === 0 || !child?.connected) stop();
    child ??= fork(join(root, 'scripts/mutants-worker.cjs'), [copy], { execArgv: [], stdio: 'ignore' });
    const answer = await answerOf(child, tests, limit_ms);
    if (answer === 'exit' || answer === 'time') stop();
    return answer;
  };
  return { noticedBy, stop };
}

function answerOf(child: ChildProcess, tests: string[], limit_ms: number): Promise<string | null> {
  return new Promise((resolve) => {
    const end = (answer: string | null) => {
      clearTimeout(timer);
      child.removeAllListeners();
      resolve(answer);
    };
    const timer = setTimeout(() => end('time'), limit_ms);
    child.on('message', ({ noticed_by }: { noticed_by: string | null }) => end(noticed_by));
    child.on('exit', () => end('exit'));
    child.on('error', () => end('exit'));
    child.send({ tests });
  });
}

interface Options {
  tests: string[];
  seed: number;
  sample: number;
  minutes: number;
  database: boolean;
}

async function run(paths: string[], { tests, seed, sample, minutes, database }: Options): Promise<void> {
  requireKnownLines();
  const all = paths.flatMap(filesOf).flatMap(mutantsOf);
  const chosen = sampled(all, seed, sample);
  const counted = chosen.filter((mutant) => !isEquivalent(mutant));
  const copy = makeCopy();
  const runner = makeRunner(copy, tests);
  if (database) await setUp({ maxWorkers: 1 });
  try {
    const began = performance.now();
    const failing = await runner.noticedBy(10 * 60_000);
    if (failing) throw new Error(`${failing} fails on the unchanged code`);
    const limit_ms = (performance.now() - began) * SLOWER + SPARE_MS;
    const survivors: Mutant[] = [];
    const tried: Mutant[] = [];
    for (const mutant of counted) {
      if (performance.now() - began > minutes * 60_000) break;
      tried.push(mutant);
      writeFileSync(join(copy, mutant.file), changed(mutant));
      const noticed_by = await runner.noticedBy(limit_ms);
      writeFileSync(join(copy, mutant.file), mutant.text);
      if (noticed_by !== null) continue;
      survivors.push(mutant);
      const { line, said } = placeOf(mutant);
      console.log(`survived: ${mutant.file}:${line}  "${mutant.from}" → "${mutant.to}"  ${said}`);
    }
    const equivalent = chosen.length - counted.length;
    console.log(
      `seed ${seed}: ${chosen.length} of ${all.length} mutants, ${equivalent} of them equivalent, ${tried.length} tried`,
    );
    for (const file of new Set(tried.map((mutant) => mutant.file))) {
      const own = tried.filter((mutant) => mutant.file === file);
      report(file, own, survivors);
    }
    report('all', tried, survivors);
  } finally {
    runner.stop();
    if (database) await tearDown();
    rmSync(copy, { recursive: true, force: true });
  }
}

function report(name: string, counted: Mutant[], survivors: Mutant[]): void {
  const noticed = counted.filter((mutant) => !survivors.includes(mutant)).length;
  console.log(`${name}: ${noticed} of ${counted.length} noticed, ${((100 * noticed) / counted.length).toFixed(0)} %`);
}

new Command('mutants')
  .argument('<paths...>', 'files or folders under src')
  .requiredOption('--tests <files...>', 'the tests that should detect the changes, fastest first')
  .option('--seed <n>', 'seed of the sample', Number, 1)
  .option('--sample <n>', 'number of mutants', Number, 200)
  .option('--minutes <n>', 'stop after this time, and report the mutants tried so far', Number, Number.POSITIVE_INFINITY)
  .option('--database', 'start the test database once, for tests that need it', false)
  .action(run)
  .parse();
