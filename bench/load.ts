import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

export interface Load {
  /** Servers, used round-robin for the connections. */
  urls: string[];
  connections: number;
  seconds: number;
  /** Complete HTTP/1.1 requests, sent round-robin. Twelve `@` are replaced by a unique number. */
  requests: string[];
  /** Each connection sends the requests in order, with the same number in all of them. */
  sequence?: boolean;
  /** Pause between a response and the next request on its connection. */
  pause_ms?: number;
}

export interface LoadResult {
  count: number;
  seconds: number;
  latencies: number[];
  statuses: Record<string, number>;
}

export interface Generator {
  run(load: Load): Promise<LoadResult>;
  /** Returns requests per second. Any other status than the expected ones ends the benchmark, because rejections are fast. */
  rate(load: Load, expected: string): Promise<number>;
  close(): void;
}

/** The load generator, in a separate process. It runs one load at a time. */
export function openGenerator(): Generator {
  const child = fork(join(import.meta.dirname, 'load-process.ts'));
  const run = async (load: Load) => {
    const answer = once(child, 'message');
    child.send(load);
    return (await answer)[0] as LoadResult;
  };
  const rate = async (load: Load, expected: string) => {
    const { count, seconds, statuses } = await run(load);
    if (Object.keys(statuses).join() !== expected) throw new Error(`unexpected statuses: ${JSON.stringify(statuses)}`);
    return count / seconds;
  };
  return { run, rate, close: () => child.disconnect() };
}

export function request(method: string, path: string, headers: Record<string, string>, body?: unknown): string {
  const text = body === undefined ? '' : JSON.stringify(body);
  const all = {
    Host: 'bench',
    ...headers,
    ...(text && { 'Content-Type': 'application/json', 'Content-Length': String(Buffer.byteLength(text)) }),
  };
  return `${method} ${path} HTTP/1.1\r\n${Object.entries(all)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n${text}`;
}
