import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook, WebhookVerificationError } from 'standardwebhooks';
import { eventually } from '../support/eventually.ts';

/** A received delivery. */
export interface Received {
  headers: IncomingHttpHeaders;
  body: string;
  event: { event_id: string; seq: number; kind: string; content: Record<string, unknown> };
}

/** Returns the response of the receiver. A promise delays it. */
export type Reaction = (received: Received, nth: number) => Answer | Promise<Answer>;
type Answer = number | { status: number; headers: Record<string, string> };

export interface Receiver {
  url: string;
  got: Received[];
  /** Resolves after this number of deliveries. */
  until(count: number): Promise<Received[]>;
  react(reaction: Reaction): void;
  close(): Promise<void>;
}

export async function startReceiver(reaction: Reaction = () => 204): Promise<Receiver> {
  const got: Received[] = [];
  let react = reaction;
  const server = createServer((req, res) => {
    const parts: Buffer[] = [];
    req.on('data', (part) => parts.push(part));
    req.on('end', async () => {
      const body = Buffer.concat(parts).toString();
      const received = { headers: req.headers, body, event: JSON.parse(body).event };
      got.push(received);
      const answer = await react(received, got.length);
      const { status, headers } = typeof answer === 'number' ? { status: answer, headers: {} } : answer;
      res.writeHead(status, status >= 300 && status < 400 ? { location: '/elsewhere' } : headers).end();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    got,
    until: async (count) => {
      await eventually(() => got.length >= count, `${count} deliveries`);
      return got;
    },
    react: (next) => {
      react = next;
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Verifies a signature like a receiver, with the Standard Webhooks library. */
export function signs(secret: string, { headers, body }: Received): boolean {
  try {
    new Webhook(secret).verify(body, headers as Record<string, string>);
    return true;
  } catch (error) {
    if (error instanceof WebhookVerificationError) return false;
    throw error;
  }
}
