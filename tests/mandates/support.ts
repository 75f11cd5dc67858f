import type { Client, RequestOptions } from '../support/client.ts';

type Row = Record<string, any>;

/** Creates a mandate as its admin. */
export async function issue(admin: Client, terms: Row = {}): Promise<Row> {
  const { status, body } = await admin.request('POST', '/v1/mandates', { body: { agent_id: 'planner', ...terms } });
  if (status !== 201) throw new Error(`${status} ${JSON.stringify(body)}`);
  return body;
}

let made = 0;

/** Requests an action; by default a call of the tool `read_file` for 1 micro-unit under a new id. */
export const act = (client: Client, { mandate_id }: Row, more: Row = {}, options: RequestOptions = {}) =>
  client.request('POST', `/v1/mandates/${encodeURIComponent(mandate_id)}/actions`, {
    ...options,
    body: {
      action_id: `a${++made}`,
      type: 'tool_call',
      ...(more.type !== 'llm_call' && { tool: 'read_file' }),
      estimate_micros: 1,
      ...more,
    },
  });

/** Requests an action and returns its status with the decision, or the code of its refusal. */
export async function decisionOf(client: Client, mandate: Row, more: Row = {}): Promise<string> {
  const { status, body } = await act(client, mandate, more);
  return `${status} ${body.decision ?? body.code}`;
}

export const settle = (client: Client, { mandate_id }: Row, action_id: string, body: Row = { outcome: 'success' }) =>
  client.request('POST', `/v1/mandates/${encodeURIComponent(mandate_id)}/actions/${encodeURIComponent(action_id)}/settle`, {
    body,
  });

export async function usageOf(client: Client, { mandate_id }: Row): Promise<Row> {
  const { status, body } = await client.request('GET', `/v1/mandates/${encodeURIComponent(mandate_id)}`);
  if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`);
  return body.usage;
}

export async function readAction(client: Client, { mandate_id }: Row, action_id: string): Promise<Row> {
  const path = `/v1/mandates/${encodeURIComponent(mandate_id)}/actions/${encodeURIComponent(action_id)}`;
  const { status, body } = await client.request('GET', path);
  if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`);
  return body;
}
