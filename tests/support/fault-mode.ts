import { killSpawned } from './daemon.ts';

// The fault tests have two forms. `npm run chaos` runs the long form, with longer outages, more rounds and strict time limits. CI runs the short
// form in parallel with other work, so its time limits are generous.

export const isLong = process.env.CHAOS === 'long';
export const rounds = isLong ? 5 : 1;
/** Maximum time from the end of a fault to the end of its effects. */
export const RECOVERY_MS = isLong ? 5000 : 15_000;

/** Prints measurements to standard error. */
export function printFigures(what: string, figures: Record<string, unknown>): void {
  const text = Object.entries(figures).map(
    ([name, value]) => `${name} ${typeof value === 'number' ? Math.round(value * 100) / 100 : JSON.stringify(value)}`,
  );
  process.stderr.write(`fault · ${what}: ${text.join(', ')}\n`);
}

afterAll(killSpawned);
