import { setTimeout as sleep } from 'node:timers/promises';
import { act, issue, settle } from '../../mandates/support.ts';
import { type Client, message, newTenant, send } from '../../support/client.ts';
import { readEvents } from '../../support/sse.ts';
import { startReceiver } from '../../webhooks/receiver.ts';

/** Settings of the daemons with which the load reaches every limit. */
export const settings = {
  RATE_LIMIT_ENABLED: 'true',
  RATE_LIMIT_MAX_REQUESTS: '100000',
  RATE_LIMIT_TENANT_MAX: '100000',
  RATE_LIMIT_AUTH_MAX: '60',
  WEBHOOK_ALLOW_PRIVATE: 'true',
  WEBHOOK_ATTEMPTS: '2',
  WEBHOOK_RETRY_MS: '10',
  CONSISTENCY_AT_ONCE: '0',
  // after the load has issued mandates, whose means are absent without them
  SWEEP_DELAY_MS: '45000',
  // a stalled watcher keeps its backlog instead of being disconnected
  WATCH_BUFFER_SIZE: '1000000',
  WATCH_BUFFER_BYTES: String(64 * 1024 * 1024),
};

/**
 * Causes continuously, until stopped, everything that a metric counts: writes to one daemon that are followed and delivered from the other, reads,
 * searches, jobs, and rejections of each kind.
 */
export async function startLoad([writing, reading]: [string, string]): Promise<{ stop(): Promise<void> }> {
  const writer = await newTenant(writing);
  const reader: Client = { ...writer, request: (method, path, asked) => send(reading, method, path, asked, writer.token) };
  // Every second attempt fails, so that some deliveries are retried and some given up.
  const receiver = await startReceiver((_received, nth) => (nth % 4 < 2 ? 204 : 500));
  await writer.request('POST', '/v1/webhooks', { body: { url: receiver.url, channels: ['private'] } });
  const stopping = new AbortController();
  const following = Promise.all([
    follow(reader, '/v1/events', stopping.signal),
    follow(reader, '/v1/state/agent%3A%2F%2Fload', stopping.signal),
  ]);
  const stalled = await stall(reader);
  const mandate = await issue(writer, { max_cost_total_micros: 1_000_000_000, max_cost_per_call_micros: 1000 });
  const loops = [
    over(stopping.signal, 50, (i) =>
      writer.request('POST', '/v1/events', { body: message(`decision ${i}: use blocks of 64 KiB`) }),
    ),
    over(stopping.signal, 200, () => reader.request('GET', '/v1/events?limit=10')),
    over(stopping.signal, 200, () => reader.request('POST', '/v1/search', { body: { query: 'blocks' } })),
    over(stopping.signal, 1000, () => writer.request('GET', '/v1/consistency')),
    over(stopping.signal, 100, (i) =>
      writer.request('PUT', `/v1/state/agent%3A%2F%2Fload/key-${i % 10}`, { body: { body: i, tags: { kind: 'load' } } }),
    ),
    over(stopping.signal, 500, () => refusedOnce(writing, writer)),
    over(stopping.signal, 100, (i) => actOnce(writer, mandate, `action-${i}`)),
    over(stopping.signal, 1000, (i) => writer.request('POST', `/v1/agents/agent-${i}/kill`, { body: {} })),
  ];
  return {
    stop: async () => {
      await stalled.body!.cancel();
      stopping.abort();
      await Promise.all(loops);
      await following;
      await receiver.close();
    },
  };
}

async function over(signal: AbortSignal, pause_ms: number, work: (i: number) => Promise<unknown>): Promise<void> {
  for (let i = 0; !signal.aborted; i += 1) {
    await work(i);
    await sleep(pause_ms, undefined, { signal }).catch(() => undefined);
  }
}

async function refusedOnce(url: string, { tenant_id, username }: Client): Promise<void> {
  await send(url, 'POST', '/auth/login', { body: { username, password: 'wrong horse 9 battery', tenant_id } });
  await send(url, 'GET', '/v1/events', {}, 'no.such.token');
  await send(url, 'GET', '/nowhere');
}

/** Authorises and settles an action, and requests one that is refused. */
async function actOnce(client: Client, mandate: object, action_id: string): Promise<void> {
  await act(client, mandate, { action_id, estimate_micros: 1000 });
  await settle(client, mandate, action_id);
  await act(client, mandate, { action_id: `${action_id}-refused`, estimate_micros: 1001 });
}

async function follow({ url, token }: Client, path: string, signal: AbortSignal): Promise<void> {
  const headers = { authorization: `Bearer ${token}`, accept: 'text/event-stream' };
  try {
    for await (const _ of readEvents(await fetch(`${url}${path}`, { headers, signal })));
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** Opens a stream of more events than the buffers of the kernel hold. The caller must hold the answer and read nothing from it. */
async function stall({ url }: Client): Promise<Response> {
  const { request, token } = await newTenant(url);
  const large = message('large', { metadata: { padding: 'x'.repeat(10_000) } });
  const events = Array.from({ length: 250 }, () => large);
  for (let i = 0; i < 16; i += 1) {
    const { status } = await request('POST', '/v1/events', { body: { events } });
    if (status !== 201) throw new Error(`the events of the stalled stream: ${status}`);
  }
  return fetch(`${url}/v1/events?after=0`, { headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream' } });
}
