import type { Tenant } from '../db/tenant.ts';
import { Problem } from '../http/problem.ts';
import { checkLog, checkRows, type Finding, seqRanges } from './sql.ts';

/** Throws if imported memories and events are inconsistent. */
export async function verifyImport(tenant: Tenant, first: number, last: number): Promise<void> {
  for await (const { from, to } of seqRanges(tenant, first, last))
    for (const finding of await checkLog(tenant, from, to)) assertCorrect(finding);
  for await (const finding of checkRows(tenant)) assertCorrect(finding);
}

function assertCorrect({ name, wrong, sample, vital }: Finding): void {
  if (wrong > 0 && vital) throw new Problem('validation', `The file is inconsistent (${name}): ${JSON.stringify(sample[0])}`);
}
