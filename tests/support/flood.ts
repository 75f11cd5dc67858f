import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

export interface Flood {
  url: string;
  /** Requests a second, whether or not they are answered; without it each socket asks again when it has its answer. */
  rate?: number;
  sockets: number;
  seconds: number;
  /** Whole HTTP/1.1 requests, sent in turn. */
  requests: string[];
}

export interface Flooded {
  seconds: number;
  offered: number;
  /** Due while every socket waited. */
  unsent: number;
  /** How many answers of each status came while it lasted. */
  answered: Record<string, number>;
  /** ms of each answer, by status or by what happened instead. */
  took: Record<string, number[]>;
}

/** Floods from a process of its own. */
export async function flood(wish: Flood): Promise<Flooded> {
  const child = fork(join(import.meta.dirname, 'flood-process.mjs'), { execArgv: [] });
  const answer = once(child, 'message');
  child.send(wish);
  const [result] = await answer;
  child.disconnect();
  return result as Flooded;
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
