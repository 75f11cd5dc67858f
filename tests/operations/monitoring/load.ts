import { setTimeout as sleep } from 'node:timers/promises';
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
  SWEEP_DELAY_MS: '1000',
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
  const following = follow(reader, stopping.signal);
  const loops = [
    over(stopping.signal, 50, (i) =>
      writer.request('POST', '/v1/events', { body: message(`decision ${i}: use blocks of 64 KiB`) }),
    ),
    over(stopping.signal, 200, () => reader.request('GET', '/v1/events?limit=10')),
    over(stopping.signal, 200, () => reader.request('POST', '/v1/search', { body: { query: 'blocks' } })),
    over(stopping.signal, 1000, () => writer.request('GET', '/v1/consistency')),
    over(stopping.signal, 500, () => refusedOnce(writing, writer)),
  ];
  return {
    stop: async () => {
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

async function follow({ url, token }: Client, signal: AbortSignal): Promise<void> {
  const headers = { authorization: `Bearer ${token}`, accept: 'text/event-stream' };
  try {
    for await (const _ of readEvents(await fetch(`${url}/v1/events`, { headers, signal })));
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
