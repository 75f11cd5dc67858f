import { type Client, message } from '../support/client.ts';

export const team = (text: string, more: Record<string, unknown> = {}) => message(text, { channel: 'team', ...more });

export interface Recorded {
  event_id: string;
  seq: number;
  chunk_ids: string[];
  memory_id: string;
  artifact_id: string;
}

/** Records an event. */
export async function record(by: Client, event: unknown): Promise<Recorded> {
  const { status, body } = await by.request('POST', '/v1/events', { body: event });
  if (status !== 201) throw new Error(`${status} ${JSON.stringify(body)}`);
  return body as Recorded;
}

/** Proposes an edit and approves it by default. */
export async function edit(by: Client, target: string, op: string, patch?: object, more: object = { auto_approve: true }) {
  const { status, body } = await by.request('POST', '/v1/edits', {
    body: { target, op, reason: 'it is wrong', ...(patch && { patch }), ...more },
  });
  if (status !== 201) throw new Error(`${status} ${JSON.stringify(body)}`);
  return body;
}

export const decide = (by: Client, id: string, verb: string, headers: Record<string, string> = {}) =>
  by.request('POST', `/v1/edits/${id}/${verb}`, { headers });

/** Returns the event with this seq from a list in the channel. */
export const listed = async (by: Client, seq: number, channel = 'team') =>
  (await by.request('GET', `/v1/events?channel=${channel}&after=${seq - 1}&limit=1`)).body.data[0];

/** Returns the text of a passage, or the status of the error. */
export const chunk = async (by: Client, id: string) => {
  const { status, body } = await by.request('GET', `/v1/chunks/${id}`);
  return status === 200 ? body.text : status;
};
