import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

export interface Flood {
  url: string;
  /** Requests per second, independent of responses. Without a rate, each socket sends its next request after a response. */
  rate?: number;
  sockets: number;
  seconds: number;
  /** Complete HTTP/1.1 requests, sent round-robin. */
  requests: string[];
}

export interface FloodResult {
  seconds: number;
  offered: number;
  /** Number of requests that were due while every socket was waiting. */
  unsent: number;
  /** Number of responses by status, until the end of the flood. */
  answered: Record<string, number>;
  /** Latencies in ms, by status or error, including responses after the end. */
  took: Record<string, number[]>;
}

/** Sends a flood of requests from a separate process. */
export async function flood(options: Flood): Promise<FloodResult> {
  const child = fork(join(import.meta.dirname, 'flood-process.mjs'), { execArgv: [] });
  const answer = once(child, 'message');
  child.send(options);
  const [result] = await answer;
  child.disconnect();
  return result as FloodResult;
}

export function rawRequest(method: string, path: string, token: string, body?: unknown): string {
  const text = body === undefined ? '' : JSON.stringify(body);
  const lines = [`${method} ${path} HTTP/1.1`, 'Host: flood', `Authorization: Bearer ${token}`];
  if (text) lines.push('Content-Type: application/json', `Content-Length: ${Buffer.byteLength(text)}`);
  return `${lines.join('\r\n')}\r\n\r\n${text}`;
}

export function quantile(values: number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}
