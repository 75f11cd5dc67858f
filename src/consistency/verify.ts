import type { Tenant } from '../db/tenant.ts';
import { Problem } from '../http/problem.ts';
import { checkLog, checkRows, type Finding, stretchesOf } from './sql.ts';

/** Throws where memories and the log that was imported do not hang together. */
export async function verifyImport(tenant: Tenant, first: number, last: number): Promise<void> {
  for await (const { from, to } of stretchesOf(tenant, first, last))
    for (const finding of await checkLog(tenant, from, to)) assertRight(finding);
  for await (const finding of checkRows(tenant)) assertRight(finding);
}

function assertRight({ name, wrong, sample, vital }: Finding): void {
  if (wrong > 0 && vital)
    throw new Problem('validation', `What the file says does not hang together (${name}): ${JSON.stringify(sample[0])}`);
}
