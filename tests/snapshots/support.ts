import { waitForJob } from '../erasure/support.ts';
import { done, type Row } from '../retention/support.ts';
import type { Client } from '../support/client.ts';

export const snap = (client: Client, name: string, more: Row = {}) => done(client, 'POST', '/v1/snapshots', { name, ...more });

/** Runs a trim before this position, and returns the result of the run. */
export async function trimBefore(client: Client, trim_before_seq: number): Promise<Row> {
  const job = await waitForJob(client, (await done(client, 'POST', '/v1/retention/runs', { trim_before_seq })).job_id);
  expect([job.state, job.problem]).toEqual(['done', undefined]);
  return job.result;
}

export const snapshotNames = async (client: Client): Promise<string[]> =>
  (await done(client, 'GET', '/v1/snapshots')).data.map(({ name }: Row) => name);
