import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Gate } from './gate.ts';
import { problemBody, toProblem } from './problem.ts';
import type { Reply } from './route.ts';
import { handleUnreadBody } from './unread_body.ts';
import { endChunked } from './write_chunked.ts';

// The beginning and the end of every response: its request id, its answer or problem, its metrics and its log line.

/** A larger answer occupies its slot until the client has read it. */
const LARGE_ANSWER_BYTES = 256 * 1024;

/** Sets the request id. Logs and counts the request when its response has ended. */
export function beginResponse<C>(
  gate: Gate<C>,
  template: string,
  req: IncomingMessage,
  res: ServerResponse,
  streams = false,
): string {
  const started = performance.now();
  const sent = req.headers['x-request-id'];
  const isValid = typeof sent === 'string' && /^[\w.:-]{1,128}$/.test(sent) && !gate.holdsSecret(sent);
  const requestId = isValid ? sent : randomUUID();
  res.setHeader('X-Request-Id', requestId);
  res.once('close', () => {
    const ms = performance.now() - started;
    // 499 as in nginx: the client disconnected before the answer
    const status = res.writableFinished ? res.statusCode : 499;
    gate.observeRequest(template, req.method ?? '', status, streams ? undefined : ms);
    gate.log.info(
      { request_id: requestId, method: req.method, route: template, status, ms: Math.round(ms * 10) / 10 },
      'request',
    );
  });
  return requestId;
}

/** Sends the answer. The promise of a large answer resolves when the client has read it. */
export function send(res: ServerResponse, status: number, { status: own, headers, body }: Reply): Promise<void> | undefined {
  if (res.headersSent || res.destroyed) return undefined;
  handleUnreadBody(res);
  res.statusCode = own ?? status;
  res.setHeader('X-Content-Type-Options', 'nosniff');
  res.setHeader('Cache-Control', 'no-store');
  for (const name in headers) res.setHeader(name, headers[name]!);
  if (body === undefined) return void res.end();
  const bytes = Buffer.isBuffer(body) || typeof body === 'string' ? body : JSON.stringify(body);
  if (!Buffer.isBuffer(body) && !res.hasHeader('Content-Type')) res.setHeader('Content-Type', 'application/json; charset=utf-8');
  const length = Buffer.byteLength(bytes);
  res.setHeader('Content-Length', length);
  if (length > LARGE_ANSWER_BYTES) return endChunked(res, Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes));
  return void res.end(bytes);
}

/** Turns an error into an answer, a metric and a log line. Returns the status. */
export function sendProblem<C>(gate: Gate<C>, template: string, res: ServerResponse, requestId: string, error: unknown): number {
  const problem = toProblem(error, gate.conflicts);
  gate.countProblem(template, problem.type);
  // An expected refusal needs no stack trace, and logging one under overload would be too slow.
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
