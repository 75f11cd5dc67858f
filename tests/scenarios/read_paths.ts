import { exportTenant, importFile, jobDone } from '../export/file.ts';
import { type Client, newTenant } from '../support/client.ts';
import { readEvents } from '../support/sse.ts';
import type { Receiver } from '../webhooks/receiver.ts';

// Reads recorded events through every API.

export const post = async (client: Client, path: string, body: unknown) => {
  const answer = await client.request('POST', path, { body });
  expect([answer.status, answer.body.detail, answer.body.errors]).toEqual([201, undefined, undefined]);
  return answer.body;
};

async function followed(client: Client, upto: number): Promise<any[]> {
  const abort = new AbortController();
  const headers = { accept: 'text/event-stream', authorization: `Bearer ${client.token}` };
  const response = await fetch(`${client.url}/v1/events?after=0`, { headers, signal: abort.signal });
  const got = [];
  for await (const { data, id } of readEvents(response)) {
    if (data) got.push(JSON.parse(data));
    if (Number(id) >= upto) break;
  }
  abort.abort();
  return got;
}

export async function listed(client: Client, path: string): Promise<any[]> {
  const all: any[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const { status, body }: any = await client.request(
      'GET',
      `${path}${path.includes('?') ? '&' : '?'}limit=50${cursor && `&cursor=${cursor}`}`,
    );
    expect([path, status]).toEqual([path, 200]);
    all.push(...body.data);
    cursor = body.next_cursor;
  }
  return all;
}

/** Returns the events as each API returns them, by API. */
export async function readEverywhere(client: Client, receiver: Receiver): Promise<Record<string, any[]>> {
  const list = await listed(client, '/v1/events');
  const clients = (events: any[]) => events.filter(({ kind }) => kind === 'message').sort((a, b) => a.seq - b.seq);
  const got = await receiver.until(list.length);
  const one: any[] = [];
  for (const { event_id } of list) one.push((await client.request('GET', `/v1/events/${event_id}`)).body);
  return {
    list: clients(list),
    newest: clients(await listed(client, '/v1/events?order=desc')),
    get: clients(one),
    follow: clients(await followed(client, list.at(-1).seq)),
    webhook: clients(got.map(({ event }) => event)),
  };
}

export async function exportAndImport(client: Client): Promise<Client> {
  const other = await newTenant(client.url);
  const { status, body } = await importFile(other, await exportTenant(client));
  expect([status, body.detail]).toEqual([202, undefined]);
  expect((await jobDone(other, body.job_id)).state).toBe('done');
  return other;
}

export const subscribe = (alice: Client, receiver: Receiver) =>
  post(alice, '/v1/webhooks', {
    url: receiver.url,
    channels: ['private', 'public', 'team', 'agent'],
    user_ids: ['alice'],
    sensitivity: 'high',
  });
