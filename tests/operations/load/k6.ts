import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Figures } from '../../load/report/figures.ts';
import { findTool } from '../../support/tool.ts';

// Runs run-load-test.sh, as an operator does.

const script = join(import.meta.dirname, '../../load/run-load-test.sh');
const built = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'agent-memory/k6');
/** Where run-load-test.sh finds k6. */
export const k6 = process.env.K6 ?? findTool('k6') ?? (existsSync(built) ? built : undefined);
export const describeWithK6 = (name: string, tests: () => void): void =>
  k6 ? describe(name, tests) : describe.skip(`${name} (skipped: k6 not installed, tests/load/install-k6.sh builds it)`, tests);

/** Short in CI; DURATION_SCALE=1 runs the full suites. */
const DURATION_SCALE = process.env.DURATION_SCALE ?? '0.2';

export interface Run {
  code: number;
  stdout: string;
  stderr: string;
  /** Returns the path of the report. */
  dir: string;
  /** Returns the names of the files that it wrote. */
  files: string[];
}

export async function runLoadTest(suite: string, env: Record<string, string>, timeout_ms = 240_000): Promise<Run> {
  const results = process.env.RESULTS_DIR ?? tmpdir();
  mkdirSync(results, { recursive: true });
  const dir = mkdtempSync(join(results, 'load-'));
  const child = spawn(script, suite ? [suite] : [], {
    env: { PATH: process.env.PATH, HOME: homedir(), K6: k6, DURATION_SCALE, RESULTS_DIR: dir, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: timeout_ms * Number(DURATION_SCALE < '1' ? 1 : DURATION_SCALE),
    killSignal: 'SIGKILL',
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (part) => {
    stdout += part;
  });
  child.stderr.on('data', (part) => {
    stderr += part;
  });
  const [code] = await once(child, 'close');
  return { code, stdout, stderr, dir, files: readdirSync(dir) };
}

/** Returns the only file with this extension. */
export function report({ dir, files }: Run, kind: 'json' | 'xml' | 'html'): string {
  const found = files.filter((name) => name.endsWith(`.${kind}`));
  expect(found).toHaveLength(1);
  return join(dir, found[0]!);
}

export const figuresOf = (run: Run): Figures => JSON.parse(readFileSync(report(run, 'json'), 'utf8'));
