import type { Tenant } from '../db/tenant.ts';
import { Problem, problemBody, toProblem } from '../http/problem.ts';
import { newId } from '../id.ts';
import type { Handler, Handlers } from '../jobs/index.ts';
import { rebuildTenant } from '../passages/index.ts';
import { type ImportedFile, type ImportSettings, importLines } from './import_lines.ts';
import type { Line } from './lines.ts';
import { beginImport, type Clock, findMisfit, finishImport, renewImport, undoImport } from './sql.ts';

/** Imports a file into an empty tenant, completely or not at all. Until it ends, the tenant accepts no other writes. */
export async function importTenant(
  tenant: Tenant,
  lines: AsyncIterable<Line>,
  settings: ImportSettings & { lease_ms: number },
  verify: (tenant: Tenant, first: number, last: number) => Promise<void>,
  started_by: string,
): Promise<{ job_id: string; as_of_seq: number; counts: Record<string, number> }> {
  const job_id = newId('job');
  const importJob = { id: job_id, lease_ms: settings.lease_ms };
  const max_bytes = await beginImport(tenant, importJob, started_by);
  // errors are ignored: an import that lost its job fails with its next rows
  const renewal = setInterval(() => void renewImport(tenant, importJob).catch(() => undefined), importJob.lease_ms / 3);
  renewal.unref();
  try {
    const file = await importLines(tenant, importJob, max_bytes, lines, settings);
    await verify(tenant, file.oldest_seq, file.header.as_of_seq);
    const misfit = await findMisfit(tenant, file.oldest_seq);
    if (misfit !== undefined) throw new Problem('validation', misfit);
    const stored_bytes = storedBytes(file);
    if (max_bytes !== null && stored_bytes > max_bytes)
      throw new Problem('quota-exceeded', 'The import exceeds the storage quota of the tenant.');
    const { header, oldest_seq, event_count, counts } = file;
    const clock = { last_seq: header.as_of_seq, oldest_seq, event_count, stored_bytes };
    await finishImport(tenant, importJob, clock, file.tenant);
    return { job_id, as_of_seq: header.as_of_seq, counts };
  } catch (error) {
    // reports the original error; if undoing fails now, whoever takes the job undoes the import
    await undoImport(tenant, job_id, problemOf(error, job_id)).catch(() => undefined);
    throw error;
  } finally {
    clearInterval(renewal);
  }
}

function problemOf(error: unknown, job_id: string): unknown {
  const { type, title, status, detail } = problemBody(toProblem(error), job_id);
  return { type, title, status, detail };
}

/** Returns the stored bytes of the header if they are plausible for the imported rows; otherwise the measured bytes. */
function storedBytes({ header: { stored_bytes }, bytes }: ImportedFile): number {
  const slack = 64 * 1024;
  return stored_bytes > bytes / 4 - slack && stored_bytes < bytes * 3 + slack ? stored_bytes : bytes;
}

const interrupted = (job_id: string) =>
  problemOf(
    new Problem(
      'timeout',
      'The daemon stopped while it was receiving the file. The import was undone, so the tenant is empty. Send the file again.',
    ),
    job_id,
  );

const runImport: Handler = async ({ tenant, id, input, report }) => {
  const { receiving, event_count, oldest_seq } = input as Clock & { receiving?: boolean };
  if (receiving) {
    await undoImport(tenant, id, interrupted(id));
    // the job has already failed; the returned value is discarded
    return {};
  }
  // builds the passages from the imported log
  return { events: await rebuildTenant(tenant, (seq) => report(event_count + Math.max(0, seq - oldest_seq + 1))) };
};

// the job also outlives the authority of its starter, because it undoes the import if it failed
export const importJobs: Handlers = { import: { run: runImport, continuesWithoutStarter: () => true } };

/** Undoes imports whose job failed to do so. */
export const sweepImports = (tenant: Tenant): Promise<number> => undoImport(tenant, null, null).then(() => 0);
