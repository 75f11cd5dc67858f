import { z } from 'zod';
import { nameOf } from '../http/name.ts';
import { replayHeaders } from '../http/outcome.ts';
import { pageOf } from '../http/page.ts';

const states = ['queued', 'running', 'done', 'failed'] as const;

export const job = z
  .object({
    job_id: z.string(),
    kind: z.string().meta({ description: 'Kind of work, such as `erasure`.' }),
    state: z.enum(states),
    progress: z.object({
      done: z.int().describe('Amount of work that is finished, in the unit of `total`.'),
      total: z.int().nullable().meta({ description: 'Total amount of work, or null if it is not yet known.' }),
    }),
    result: z.record(z.string(), z.unknown()).optional().meta({ description: 'Result of a finished job.' }),
    problem: z
      .object({ type: z.string(), title: z.string(), status: z.int(), detail: z.string() })
      .optional()
      .meta({ description: 'Why the job failed.' }),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
    finished_at: z.iso.datetime().optional(),
  })
  .meta({ id: 'Job' });
export type JobView = z.output<typeof job>;

/** Response to a request that started a job. */
export const startedJob = z.object({ job_id: z.string() }).meta({ id: 'StartedJob' });

export const jobPage = pageOf(job);
export const jobParams = z.strictObject({ job_id: nameOf() });
export const listQuery = z.strictObject({
  kind: nameOf(64).optional(),
  state: z.enum(states).optional(),
  cursor: z.string().max(2000).optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
});
export type ListQuery = z.output<typeof listQuery>;

/** Returns the 202 answer of a request that started a job. */
export const acceptedReply = (job_id: string, replay: boolean) => ({
  body: { job_id },
  headers: { Location: `/v1/jobs/${job_id}`, ...replayHeaders(replay) },
});
