import { setTimeout as sleep } from 'node:timers/promises';

/** Waits for what takes as long as the machine needs; a minute is only how soon a test that fails says so. */
export async function eventually(holds: () => boolean | Promise<boolean>, what: string, ms = 60_000): Promise<void> {
  for (const until = Date.now() + ms; !(await holds()); await sleep(20))
    if (Date.now() > until) throw new Error(`waited in vain for ${what}`);
}
