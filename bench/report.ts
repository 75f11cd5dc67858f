import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';

/** A row of the table of results. */
export interface Figure {
  part: string;
  name: string;
  value: number;
  unit: string;
  /** The goal: at least `min` or at most `max`. */
  goal?: { min: number } | { max: number };
  /** The absolute figures behind a ratio. They are not comparable between machines. */
  note?: string;
}

const FILE = join(import.meta.dirname, 'results.json');

export interface Results {
  at: string;
  machine: string;
  postgres: string;
  seconds: number;
  figures: Figure[];
}

export const describeMachine = (): string =>
  `${cpus().length} × ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / 1024 ** 3)} GiB, ${process.platform} ${process.arch}, Node ${process.versions.node}`;

/** Saves the results. Keeps the results of earlier runs on this machine for parts that were not run. */
export function saveResults(results: Results): void {
  const ran = new Set(results.figures.map(({ part }) => part));
  const kept = earlierFigures().filter(({ part }) => !ran.has(part));
  const merged = { ...results, figures: [...kept, ...results.figures] };
  writeFileSync(FILE, `${JSON.stringify(merged, null, 2)}\n`);
}

function earlierFigures(): Figure[] {
  try {
    const earlier = JSON.parse(readFileSync(FILE, 'utf8')) as Results;
    return earlier.machine === describeMachine() ? earlier.figures : [];
  } catch {
    return [];
  }
}

export function renderTable(figures: Figure[]): string {
  const lines = figures.map(({ name, value, unit, goal, note }) => {
    const wanted = goal ? ('min' in goal ? `≥ ${goal.min}` : `≤ ${goal.max}`) : '';
    return `| ${name} | ${round(value)}${unit && ` ${unit}`} | ${wanted} | ${goal ? verdict(value, goal) : ''} | ${note ?? ''} |`;
  });
  return ['| figure | measured | goal | | details |', '| --- | --- | --- | --- | --- |', ...lines].join('\n');
}

const verdict = (value: number, goal: NonNullable<Figure['goal']>) =>
  ('min' in goal ? value >= goal.min : value <= goal.max) ? 'met' : '**missed**';

const round = (value: number): string => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3));
