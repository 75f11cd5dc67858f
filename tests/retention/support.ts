import { waitForJob } from '../erasure/support.ts';
import { type Client, message } from '../support/client.ts';

export type Row = Record<string, any>;

export async function done(client: Client, method: string, path: string, body?: unknown): Promise<Row> {
  const answer = await client.request(method, path, body === undefined ? {} : { body });
  expect([method, path, answer.status, answer.body.detail]).toEqual([method, path, expect.any(Number), undefined]);
  expect(answer.status).toBeLessThan(300);
  return answer.body;
}
const record = (client: Client, body: Row) => done(client, 'POST', '/v1/events', { ...message(''), channel: 'team', ...body });
export const say = (client: Client, text: string, more: Row = {}) => record(client, { content: { text }, ...more });
export const createMemory = (client: Client, body: Row) => done(client, 'POST', '/v1/memories', { channel: 'team', ...body });
export const recordMessages = (client: Client, count: number) =>
  done(client, 'POST', '/v1/events', {
    events: Array.from({ length: count }, (_, i) => message(`message ${i}`, { channel: 'team' })),
  });

/** Runs a policy that keeps this number of events, and returns the result of the run. */
export async function trim(client: Client, keep_events: number): Promise<Row> {
  await done(client, 'PUT', '/v1/retention', { rules: [], trim: { keep_events } });
  const job = await waitForJob(client, (await done(client, 'POST', '/v1/retention/runs')).job_id);
  expect([job.state, job.problem]).toEqual(['done', undefined]);
  return job.result;
}
export const previewTrim = async (client: Client, keep_events: number): Promise<Row> => {
  const body = await done(client, 'POST', '/v1/retention/preview', { rules: [], trim: { keep_events } });
  return body.job_id ? (await waitForJob(client, body.job_id)).result : body;
};
export const usage = (client: Client) => done(client, 'GET', '/v1/usage');
export const get = (client: Client, id: string) => client.request('GET', `/v1/memories/${id}`);

export const listAllMemories = async (client: Client): Promise<Row[]> =>
  (await done(client, 'GET', '/v1/memories?channel=team&status=any&limit=1000')).data;
