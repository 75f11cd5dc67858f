import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

// A server that speaks the protocols of /v1/embeddings and /rerank. Its model knows some synonyms; other words have random directions that depend
// on the word alone. `behave` makes it misbehave.

export const DIMENSION = 64;

const synonyms: Record<string, string> = { boss: 'manager', car: 'automobile', chef: 'cook', kitten: 'cat', ship: 'boat' };

function directionOf(word: string): number[] {
  const bytes = createHash('sha512')
    .update(synonyms[word] ?? word)
    .digest();
  return Array.from({ length: DIMENSION }, (_, i) => bytes[i]! / 127.5 - 1);
}

/** The sum of the directions of the words: texts with common words or synonyms are close. */
export function vectorOf(text: string, model = 'model-a'): number[] {
  const words = text.toLowerCase().match(/\p{L}+/gu) ?? ['nothing'];
  const sum = new Array<number>(DIMENSION).fill(0);
  for (const word of words) for (const [i, x] of directionOf(word).entries()) sum[i]! += x;
  return model === 'model-a' ? sum : sum.reverse();
}

interface Asked {
  path: string;
  headers: IncomingHttpHeaders;
  body: { model?: string; input?: string[]; query?: string; documents?: string[] };
}

/** Answers a request; returns true if it did, and false to let the server answer. */
type Behaviour = (asked: Asked, res: ServerResponse, nth: number) => boolean | undefined | Promise<boolean | undefined>;

export interface ModelServer {
  url: string;
  asked: Asked[];
  /** The texts that were embedded, without queries. */
  texts(): string[];
  behave(behaviour: Behaviour | undefined): void;
  /** Stops to listen and drops all connections. */
  kill(): Promise<void>;
  /** Listens again, on the same port. */
  revive(): Promise<void>;
}

export async function startModelServer(tls?: { cert: string; key: string }): Promise<ModelServer> {
  const asked: Asked[] = [];
  let behave: Behaviour | undefined;
  const listener: RequestListener = async (req, res) => {
    const parts: Buffer[] = [];
    for await (const part of req) parts.push(part as Buffer);
    const one = { path: req.url!, headers: req.headers, body: JSON.parse(Buffer.concat(parts).toString()) };
    asked.push(one);
    if (!(await behave?.(one, res, asked.length))) answer(one, res);
  };
  const server = tls ? createTlsServer(tls, listener) : createServer(listener);
  const listen = async (port: number) => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  };
  await listen(0);
  const { port } = server.address() as AddressInfo;
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    asked,
    texts: () => asked.flatMap(({ body }) => body.input ?? []).filter((text) => !text.startsWith('query: ')),
    behave: (next) => {
      behave = next;
    },
    kill: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
    revive: () => listen(port),
  };
}

function answer({ path, body }: Asked, res: ServerResponse): void {
  const value =
    path === '/v1/embeddings'
      ? { data: body.input!.map((text, index) => ({ index, embedding: vectorOf(withoutPrefix(text), body.model) })).reverse() }
      : { results: body.documents!.map((text, index) => ({ index, relevance_score: similarity(body.query!, text) })) };
  res.setHeader('Content-Type', 'application/json').end(JSON.stringify(value));
}

const withoutPrefix = (text: string) => text.replace(/^(?:query|passage): /, '');

function similarity(a: string, b: string): number {
  const [x, y] = [vectorOf(a), vectorOf(b)];
  return x.reduce((sum, value, i) => sum + value * y[i]!, 0) / (Math.hypot(...x) * Math.hypot(...y));
}
