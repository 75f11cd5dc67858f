import type { IncomingMessage, ServerResponse } from 'node:http';
import { Problem } from '../http/problem.ts';

// The wire format of server-sent events.

/** Interval of the comments of a stream that has nothing to send. */
export const HEARTBEAT_MS = 15_000;

export function lastIdOf(req: IncomingMessage): number | undefined {
  const last = req.headers['last-event-id'];
  if (last === undefined || last === '') return undefined;
  if (typeof last !== 'string' || !/^\d{1,15}$/.test(last))
    throw new Problem('validation', 'Last-Event-ID must be the seq of an event.', {
      errors: [{ parameter: 'Last-Event-ID', detail: 'must be an integer' }],
    });
  return Number(last);
}

export function openStream(res: ServerResponse, cursor: number): void {
  res.writeHead(200, {
    'Content-Type': 'text/event-stream; charset=utf-8',
    // no-transform: a compressing proxy would buffer events
    'Cache-Control': 'no-cache, no-transform',
    'X-Accel-Buffering': 'no',
    'X-Content-Type-Options': 'nosniff',
  });
  res.write(`retry: 1000\nid: ${cursor}\n\n`);
}
