import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until a condition holds, however slow the machine is. The timeout only bounds how long a failing test takes. */
export async function eventually(holds: () => boolean | Promise<boolean>, what: string, ms = 60_000): Promise<void> {
  for (const until = Date.now() + ms; !(await holds()); await sleep(20))
    if (Date.now() > until) throw new Error(`timed out waiting for: ${what}`);
}
