import type { IncomingMessage, ServerResponse } from 'node:http';
import { Problem } from '../http/problem.ts';

// What server-sent events are on the wire.

const MAX_DRAIN_MS = 5_000;

export function lastIdOf(req: IncomingMessage): number | undefined {
  const last = req.headers['last-event-id'];
  if (last === undefined || last === '') return undefined;
  if (typeof last !== 'string' || !/^\d{1,15}$/.test(last))
    throw new Problem('validation', 'Last-Event-ID is a seq.', {
      errors: [{ parameter: 'Last-Event-ID', detail: 'must be an integer' }],
    });
  return Number(last);
}

export function openStream(res: ServerResponse, cursor: number): void {
  res.writeHead(200, {
    'Content-Type': 'text/event-stream; charset=utf-8',
    // no-transform: a compressing proxy would hold events back
    'Cache-Control': 'no-cache, no-transform',
    'X-Accel-Buffering': 'no',
    'X-Content-Type-Options': 'nosniff',
  });
  res.write(`retry: 1000\nid: ${cursor}\n\n`);
}

/** Whether the reader takes what waits for it in time; nothing more is read for it meanwhile. */
export function waitForDrain(res: ServerResponse): Promise<boolean> {
  return new Promise((resolve) => {
    const done = (taken: boolean) => {
      clearTimeout(timer);
      res.off('drain', onDrain).off('close', onClose);
      resolve(taken);
    };
    const onDrain = () => done(true);
    const onClose = () => done(true);
    const timer = setTimeout(() => done(false), MAX_DRAIN_MS);
    res.once('drain', onDrain).once('close', onClose);
  });
}
