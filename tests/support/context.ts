import type { Client } from './client.ts';

/** The parts of a context that tests use. */
export interface Bundle {
  token_used: number;
  sections: { name: string; items: BundleItem[] }[];
  omissions: { reason: string; count: number; candidates: string[]; artifact_id?: string }[];
  provenance: { candidate_pool_size: number; deduplicated: number; as_of_seq: number; query_terms: string[]; filters: unknown };
  text: string;
}
export interface BundleItem {
  type: string;
  text: string;
  refs: string[];
  memory_id?: string;
  scope?: string;
  trust?: string;
  origin?: { type: string; id: string };
  superseded?: true;
  conflict?: { with: string[]; between: string[] };
}

export async function contextOf(client: Client, more: Record<string, unknown> = {}): Promise<Bundle> {
  const body = { session_id: 's1', channel: 'private', ...more };
  const answer = await client.request('POST', '/v1/context?render=text', { body });
  expect([answer.status, answer.body]).toEqual([200, expect.anything()]);
  return answer.body as unknown as Bundle;
}

export const itemsOf = ({ sections }: Bundle, name: string): BundleItem[] =>
  sections.find((section) => section.name === name)?.items ?? [];
export const textsOf = (bundle: Bundle, name: string): string[] => itemsOf(bundle, name).map(({ text }) => text);

export async function recordAll(
  client: Client,
  ...events: unknown[]
): Promise<{ event_id: string; seq: number; memory_id: string; artifact_id: string; chunk_ids: string[] }[]> {
  const { status, body } = await client.request('POST', '/v1/events', { body: { events } });
  expect([status, body]).toEqual([201, expect.anything()]);
  return body.data;
}

export async function remember(client: Client, memory: Record<string, unknown>) {
  const { status, body } = await client.request('POST', '/v1/memories', { body: { channel: 'private', ...memory } });
  expect([status, body]).toEqual([201, expect.anything()]);
  return body as { memory_id: string; event_id: string; seq: number; status: string };
}
