import { endSpawned } from './daemon.ts';

// `npm run chaos` is the long form of the tests of faults: longer outages, more rounds, and the figures as the issue states them.
// The short form runs in CI beside everything else, so its bounds of time have slack.

export const isLong = process.env.CHAOS === 'long';
export const rounds = isLong ? 5 : 1;
/** From the end of the cause to the end of its effects. */
export const RECOVERY_MS = isLong ? 5000 : 15_000;

/** What was measured, for who reads the run. */
export function tell(what: string, figures: Record<string, unknown>): void {
  const text = Object.entries(figures).map(
    ([name, value]) => `${name} ${typeof value === 'number' ? Math.round(value * 100) / 100 : JSON.stringify(value)}`,
  );
  process.stderr.write(`fault · ${what}: ${text.join(', ')}\n`);
}

afterAll(endSpawned);
