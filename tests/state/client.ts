import type { Client } from '../support/client.ts';

/** Any response body. */
export type Row = Record<string, any>;

export const NAMESPACE = 'agent://demo';

export const pathOf = (key: string, namespace = NAMESPACE) =>
  `/v1/state/${encodeURIComponent(namespace)}/${encodeURIComponent(key)}`;

export const put = (client: Client, key: string, body: Row, headers: Record<string, string> = {}, namespace = NAMESPACE) =>
  client.request('PUT', pathOf(key, namespace), { body, headers });

export const get = (client: Client, key: string, query = '', namespace = NAMESPACE) =>
  client.request('GET', pathOf(key, namespace) + query);

export const del = (client: Client, key: string, headers: Record<string, string> = {}, namespace = NAMESPACE) =>
  client.request('DELETE', pathOf(key, namespace), { headers });

/** Lists a namespace. Throws unless the status is 200. */
export async function list(client: Client, query = '', namespace = NAMESPACE): Promise<Row> {
  const { status, body } = await client.request('GET', `/v1/state/${encodeURIComponent(namespace)}${query}`);
  if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`);
  return body;
}

export const keysOf = ({ data }: Row): string[] => data.map(({ key }: Row) => key);
