import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Gate } from './gate.ts';
import { giveLast } from './give.ts';
import { problemBody, toProblem } from './problem.ts';
import type { Reply } from './route.ts';
import { leaveUnread } from './unread.ts';

// How every response begins and ends: its id, its answer or its problem, its figure and its log line.

/** A larger answer keeps its place until it is taken. */
const LARGE_ANSWER_BYTES = 256 * 1024;

/** Names the request, and logs and counts it when its response is over. */
export function begin<C>(gate: Gate<C>, template: string, req: IncomingMessage, res: ServerResponse, streams = false): string {
  const started = performance.now();
  const given = req.headers['x-request-id'];
  const isSane = typeof given === 'string' && /^[\w.:-]{1,128}$/.test(given) && !gate.holdsSecret(given);
  const requestId = isSane ? given : randomUUID();
  res.setHeader('X-Request-Id', requestId);
  res.once('close', () => {
    const ms = performance.now() - started;
    // 499, as nginx has it: the client left before the answer
    const status = res.writableFinished ? res.statusCode : 499;
    gate.finished(template, req.method ?? '', status, streams ? undefined : ms);
    gate.log.info(
      { request_id: requestId, method: req.method, route: template, status, ms: Math.round(ms * 10) / 10 },
      'request',
    );
  });
  return requestId;
}

/** Sent when it returns, unless it is large: then when it is taken. */
export function send(res: ServerResponse, status: number, { status: own, headers, body }: Reply): Promise<void> | undefined {
  if (res.headersSent || res.destroyed) return undefined;
  leaveUnread(res);
  res.statusCode = own ?? status;
  res.setHeader('X-Content-Type-Options', 'nosniff');
  res.setHeader('Cache-Control', 'no-store');
  for (const name in headers) res.setHeader(name, headers[name]!);
  if (body === undefined) return void res.end();
  const bytes = Buffer.isBuffer(body) || typeof body === 'string' ? body : JSON.stringify(body);
  if (!Buffer.isBuffer(body) && !res.hasHeader('Content-Type')) res.setHeader('Content-Type', 'application/json; charset=utf-8');
  const length = Buffer.byteLength(bytes);
  res.setHeader('Content-Length', length);
  if (length > LARGE_ANSWER_BYTES) return giveLast(res, Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes));
  return void res.end(bytes);
}

/** The one place where an error becomes an answer, a figure and a log line; returns its status. */
export function refuse<C>(gate: Gate<C>, template: string, res: ServerResponse, requestId: string, error: unknown): number {
  const problem = toProblem(error, gate.conflicts);
  gate.refused(template, problem.type);
  // a refusal of our own needs no stack, and under overload there is no time for one
  if (problem.status >= 500)
    gate.log[problem.type === 'internal' ? 'error' : 'warn'](
      {
        request_id: requestId,
        problem: problem.type,
        detail: problem.message,
        ...(problem.cause !== undefined && { err: problem.cause }),
      },
      'refused',
    );
  if (res.headersSent) res.destroy();
  else
    void send(res, problem.status, {
      headers: { ...problem.headers, 'Content-Type': 'application/problem+json' },
      body: problemBody(problem, requestId),
    });
  return problem.status;
}
