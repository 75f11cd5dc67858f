import { waitForJob } from '../erasure/support.ts';
import { done, type Row, usage } from '../retention/support.ts';
import { NAMESPACE } from '../state/client.ts';
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

export const restore = (client: Client, name: string, body?: Row) =>
  client.request('POST', `/v1/snapshots/${name}/restore`, body === undefined ? {} : { body });
export const restored = (client: Client, name: string, body?: Row) => done(client, 'POST', `/v1/snapshots/${name}/restore`, body);
export const diff = async (client: Client, name: string, query = ''): Promise<Row[]> =>
  (await done(client, 'GET', `/v1/snapshots/${name}/diff${query}`)).data;
export const fork = (client: Client, to: string, more: Row = {}, from = NAMESPACE) =>
  client.request('POST', `/v1/state/${encodeURIComponent(from)}/fork`, { body: { to, ...more } });
export const lastSeq = async (client: Client): Promise<number> => (await usage(client)).last_seq;
export const logAfter = async (client: Client, seq: number): Promise<Row[]> =>
  (await done(client, 'GET', `/v1/events?channel=team&after=${seq}&limit=1000`)).data;
