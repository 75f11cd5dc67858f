import type { Tenant } from '../db/tenant.ts';
import { Problem } from '../http/problem.ts';
import { newId } from '../id.ts';
import type { Handlers } from '../jobs/index.ts';
import { rebuildTenant } from '../search/index.ts';
import type { Line } from './lines.ts';
import { beginImport, finishImport, undoImport } from './sql.ts';
import { type Taken, type TakeSettings, takeLines } from './take.ts';

/** An import that says nothing for so long is dead: the next one, or the sweeper, undoes it. */
export const STALE_S = 60;

/** The file into the empty tenant, whole or not at all. While it comes, nothing else can be recorded. */
export async function importTenant(
  tenant: Tenant,
  lines: AsyncIterable<Line>,
  settings: TakeSettings,
  verify: (tenant: Tenant, first: number, last: number) => Promise<void>,
  started_by: string,
): Promise<{ job_id: string; as_of_seq: number; counts: Record<string, number> }> {
  const import_id = newId('imp');
  const room = await begin(tenant, import_id);
  try {
    const taken = await takeLines(tenant, import_id, room, lines, settings);
    await verify(tenant, taken.oldest_seq, taken.header.as_of_seq);
    const stored_bytes = credible(taken);
    if (room !== null && stored_bytes > room) throw new Problem('quota-exceeded', 'The tenant may not store so many bytes.');
    const { header, oldest_seq, event_count, counts } = taken;
    const clock = { last_seq: header.as_of_seq, oldest_seq, event_count, stored_bytes };
    const job_id = await finishImport(tenant, import_id, clock, taken.tenant, started_by);
    return { job_id, as_of_seq: header.as_of_seq, counts };
  } catch (error) {
    // the first error is the one that counts; what cannot be undone now is undone by the next import or the sweeper
    await undoImport(tenant, import_id).catch(() => undefined);
    throw error;
  }
}

async function begin(tenant: Tenant, import_id: string): Promise<number | null> {
  const { status, stale, room } = await beginImport(tenant, import_id, STALE_S);
  if (status === 'begun') return room;
  await undoImport(tenant, stale, STALE_S);
  return begin(tenant, import_id);
}

/** What the tenant had stored where that is about what came; else what came. */
function credible({ header: { stored_bytes }, bytes }: Taken): number {
  const slack = 64 * 1024;
  return stored_bytes > bytes / 3 - slack && stored_bytes < bytes * 3 + slack ? stored_bytes : bytes;
}

/** The passages of what was imported, from its log. */
export const importJobs: Handlers = {
  import: async ({ tenant, report }) => ({ events: await rebuildTenant(tenant, (seq) => report(seq)) }),
};

/** Of imports that broke off with their daemon. */
export const sweepImports = (tenant: Tenant): Promise<number> => undoImport(tenant, null, 10 * STALE_S).then(() => 0);
