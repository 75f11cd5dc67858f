import type { Tenant } from '../db/tenant.ts';
import { Problem, problemBody, toProblem } from '../http/problem.ts';
import { newId } from '../id.ts';
import type { Handler, Handlers } from '../jobs/index.ts';
import { rebuildTenant } from '../passages/index.ts';
import { type ImportedFile, type ImportSettings, importLines } from './import_lines.ts';
import type { Line } from './lines.ts';
import { beginImport, type Clock, findMisfit, finishImport, renewImport, undoImport } from './sql.ts';

/** The file into the empty tenant, whole or not at all. While it comes, nothing else can be recorded. */
export async function importTenant(
  tenant: Tenant,
  lines: AsyncIterable<Line>,
  settings: ImportSettings & { lease_ms: number },
  verify: (tenant: Tenant, first: number, last: number) => Promise<void>,
  started_by: string,
): Promise<{ job_id: string; as_of_seq: number; counts: Record<string, number> }> {
  const job_id = newId('job');
  const held = { id: job_id, lease_ms: settings.lease_ms };
  const room = await beginImport(tenant, held, started_by);
  // an import that lost its job finds out with its next rows
  const beat = setInterval(() => void renewImport(tenant, held).catch(() => undefined), held.lease_ms / 3);
  beat.unref();
  try {
    const file = await importLines(tenant, held, room, lines, settings);
    await verify(tenant, file.oldest_seq, file.header.as_of_seq);
    const stray = await findMisfit(tenant, file.oldest_seq);
    if (stray !== undefined) throw new Problem('validation', stray);
    const stored_bytes = storedBytes(file);
    if (room !== null && stored_bytes > room)
      throw new Problem('quota-exceeded', 'The import exceeds the storage quota of the tenant.');
    const { header, oldest_seq, event_count, counts } = file;
    const clock = { last_seq: header.as_of_seq, oldest_seq, event_count, stored_bytes };
    await finishImport(tenant, held, clock, file.tenant);
    return { job_id, as_of_seq: header.as_of_seq, counts };
  } catch (error) {
    // the first error is the one that counts; what cannot be undone now is undone by who takes the job
    await undoImport(tenant, job_id, problemOf(error, job_id)).catch(() => undefined);
    throw error;
  } finally {
    clearInterval(beat);
  }
}

function problemOf(error: unknown, job_id: string): unknown {
  const { type, title, status, detail } = problemBody(toProblem(error), job_id);
  return { type, title, status, detail };
}

/** What the tenant had stored where that is about what came; else what came. */
function storedBytes({ header: { stored_bytes }, bytes }: ImportedFile): number {
  const slack = 64 * 1024;
  return stored_bytes > bytes / 4 - slack && stored_bytes < bytes * 3 + slack ? stored_bytes : bytes;
}

const interrupted = (job_id: string) =>
  problemOf(new Problem('timeout', 'The daemon that received the file has stopped. The tenant is empty again.'), job_id);

const runImport: Handler = async ({ tenant, id, input, report }) => {
  const { receiving, event_count, oldest_seq } = input as Clock & { receiving?: boolean };
  if (receiving) {
    await undoImport(tenant, id, interrupted(id));
    // the job has already failed; the returned value is discarded
    return {};
  }
  // the passages of what was imported, from its log
  return { events: await rebuildTenant(tenant, (seq) => report(event_count + Math.max(0, seq - oldest_seq + 1))) };
};

// it undoes what it did, whoever began it
export const importJobs: Handlers = { import: { run: runImport, continuesWithoutStarter: () => true } };

/** Of imports whose job failed to undo them. */
export const sweepImports = (tenant: Tenant): Promise<number> => undoImport(tenant, null, null).then(() => 0);
