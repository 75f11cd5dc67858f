import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from '../log.ts';
import { letCome, readBody, refuseBody, refuseRepeated } from './body.ts';
import type { Held } from './gather.ts';
import { giveLast } from './give.ts';
import { type Hold, openHold, SMALL_BODY_BYTES } from './hold.ts';
import { type Asked, askedOf, idempotencyOf } from './idempotent.ts';
import { keepInside } from './inside.ts';
import { type JsonLimits, parseJson } from './json.ts';
import { Problem, type ProblemType, problemBody, toProblem } from './problem.ts';
import { type Idempotency, type Input, parseInput, type Reply, type Route, STREAMED, type Unparsed } from './route.ts';
import { type Act, audited, type Trail, tellRefusal } from './trail.ts';
import { announcedOf, bringsBody, leaveUnread } from './unread.ts';
import { matchPath, urlOf } from './url.ts';
import { withinTime } from './within.ts';
import { written } from './written.ts';

// One request from its first byte to its log line. Everything here takes plain node:http objects, so Express and the thin
// door in front of it serve the same routes by the same code.

/** What `serve` needs to know and may not import. */
export interface Gate<C> {
  identify(req: IncomingMessage): Promise<C>;
  /** Throws `forbidden` where the caller may not use routes of this access. */
  authorize(caller: C, access: 'read' | 'write' | 'admin'): void;
  /** Counts the request; sets RateLimit headers; throws `rate-limited`. */
  admit(route: Route<C>, caller: C | null, address: string, res: ServerResponse): Promise<void>;
  /** Charges the bytes of a body to the budgets of its principal and tenant; throws `rate-limited`. Undefined: it is charged already. */
  admitBytes(caller: C, bytes: number): Promise<void> | undefined;
  /** The scope of Idempotency-Key and the tenant that ids in the request must not leave. */
  scopeOf(caller: C): { principal: string; tenant: string };
  addressOf(req: IncomingMessage): string;
  /** Called once for each finished request. `ms`: absent of a stream, which lasts as long as its client likes. */
  finished(route: string, method: string, status: number, ms: number | undefined): void;
  /** Called for each request that is answered with a problem. */
  refused(route: string, problem: ProblemType): void;
  /** Whether a text that will be logged and answered holds a secret. */
  holdsSecret(text: string): boolean;
  /** The body without the secrets in what is `free`; throws where the tenant refuses them, or where one stands in what is `fixed`. */
  screen(caller: C | null, body: unknown, pointers: { free: string[]; fixed: string[] }): Promise<unknown>;
  /** A large JSON body, parsed, screened and hashed where it holds up nobody. */
  understand(caller: C, bytes: Buffer, how: Understanding, signal: AbortSignal): Promise<Understood>;
  /** What the route answers to a heavy read; undefined where there is no worker that could read. */
  readApart?(read: ReadApart<C>): Promise<Reply | typeof STREAMED>;
  /** A keyed hash, hex: of what was sent nothing is kept that could be guessed back. The same on every daemon and after a restart. */
  mac(data: string | Buffer): string;
  /** What the audit is told. */
  trail: Trail<C>;
  body: JsonLimits & { maxBytes: number };
  held: Held;
  inFlight: InFlight;
  timeoutMs: number;
  log: Logger;
}

export interface ReadApart<C> {
  operation: string;
  caller: C;
  input: Unparsed;
  signal: AbortSignal;
  /** Answers on the event loop; given where the read may turn out to be short. */
  inPlace: (() => Promise<Reply | typeof STREAMED>) | undefined;
}

export interface Understanding {
  free: string[];
  fixed: string[];
  asked: Asked | null;
}

interface Understood {
  body: unknown;
  idempotency: Idempotency | null;
}

/** Requests being served, in all and by tenant: one tenant may hold at most its share of them. */
interface InFlight {
  count: number;
  readonly max: number;
  readonly byTenant: Map<string, number>;
}

const LARGEST_SHARE = 0.5;

export async function serve<C>(gate: Gate<C>, route: Route<C>, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const streams = route.long === true || (route.streams !== undefined && /\btext\/event-stream\b/.test(req.headers.accept ?? ''));
  const request_id = begin(gate, route.path, req, res, streams);
  const act: Act<C> = { route, req, request_id, address: '', caller: null, params: undefined, query: undefined, body: undefined };
  let release = () => {};
  // probes and scrapes must be answered when everything else is shed
  const inFlight = streams || route.limit === 'none' ? undefined : gate.inFlight;
  let leave = () => {};
  try {
    if (inFlight && ++inFlight.count > inFlight.max)
      throw new Problem('unavailable', 'Too many requests are being served.', { headers: { 'Retry-After': '1' } });
    const address = gate.addressOf(req);
    act.address = address;
    refuseRepeated(req);
    if (route.limit === 'auth') await gate.admit(route, null, address, res);
    const caller = route.access === 'none' ? null : await gate.identify(req);
    act.caller = caller;
    if (caller && route.access !== 'none' && route.access !== 'any') gate.authorize(caller, route.access);
    if (route.limit === 'v1') await gate.admit(route, caller, address, res);
    const scope = caller && gate.scopeOf(caller);
    if (inFlight && scope) leave = enter(inFlight, scope.tenant);
    const hold = openHold(gate.held, scope?.tenant);
    release = hold.release;
    const bytes = takesBody(route, req) ? await bodyOf(gate, route, req, res, caller, hold) : undefined;
    const { pathname, query } = urlOf(req);
    const params = matchPath(route.path, pathname);
    if (route.method !== 'GET') refuseNoTag(req.headers['if-match']);
    if (scope) keepInside(scope.tenant, req.headers, query);
    const asked = askedOf(route, req, pathname, scope?.principal, query);
    const known = { caller: caller as C, address, req, res };
    if (caller && bytes && route.large && bytes.length > SMALL_BODY_BYTES) {
      const input = {
        ...known,
        ...parseInput({ ...route, body: undefined, raw: undefined }, { params, query, body: undefined }),
        bytes,
        asked,
      };
      const reply = await withinTime(gate.timeoutMs, res, (signalOf) => route.large!({ ...input, signal: signalOf() } as never));
      return void (await send(res, route.success.status, reply));
    }
    const { body, idempotency } = await bodyAs(gate, route, caller, scope?.tenant, bytes, asked, res);
    const input = { ...known, ...parseInput(route, { params, query, body }), idempotency };
    act.params = input.params;
    act.query = input.query;
    act.body = input.body;
    if (route.reads) letCome(req, res);
    const reply = await withinTime(streams ? 0 : gate.timeoutMs, res, async (signalOf) => {
      Object.defineProperty(input, 'signal', { get: signalOf });
      const given = await audited(gate.trail, act, () => answerOf(gate, route, input as never, streams, signalOf));
      return given === STREAMED ? given : written(given, signalOf);
    });
    if (reply !== STREAMED) await send(res, route.success.status, reply);
  } catch (error) {
    tellRefusal(gate.trail, act, refuse(gate, route.path, res, request_id, error));
  } finally {
    if (inFlight) inFlight.count -= 1;
    leave();
    release();
  }
}

type AnyInput<C> = Input<C, undefined, undefined, undefined>;

function answerOf<C>(gate: Gate<C>, route: Route<C>, input: AnyInput<C>, streams: boolean, signalOf: () => AbortSignal) {
  if (streams && route.streams) return route.streams(input);
  const weight = gate.readApart && route.heavy?.(input);
  if (!weight) return route.handle(input);
  const { caller, params, query, body } = input;
  const inPlace = weight === 'perhaps' ? () => route.handle(input) : undefined;
  return gate.readApart!({ operation: route.operation, caller, input: { params, query, body }, signal: signalOf(), inPlace });
}

/** A body where none is taken must be an empty object: unknown fields are refused, never ignored. */
const takesBody = (route: Pick<Route, 'body' | 'raw' | 'reads' | 'method'>, req: IncomingMessage): boolean =>
  Boolean(route.body || route.raw) || (!route.reads && route.method !== 'GET' && bringsBody(req));

/** Refused by its length, its type and the budgets before any of it is read; without a length it is charged when it is there. */
async function bodyOf<C>(
  gate: Gate<C>,
  route: Route<C>,
  req: IncomingMessage,
  res: ServerResponse,
  caller: C | null,
  hold: Hold,
): Promise<Buffer> {
  const maxBytes = route.raw?.maxBytes ?? route.maxBytes ?? gate.body.maxBytes;
  refuseBody(req, maxBytes, route.raw ? 'raw' : 'json');
  const announced = announcedOf(req);
  const charge = (bytes: number) => (caller && route.limit === 'v1' ? gate.admitBytes(caller, bytes) : undefined);
  await charge(Number.isFinite(announced) ? announced : 1);
  const bytes = await readBody(req, res, { maxBytes, hold, timeoutMs: gate.timeoutMs });
  if (!Number.isFinite(announced)) await charge(bytes.length);
  return bytes;
}

const TAGS = /^\s*(?:\*|(?:W\/)?"[^"]*"(?:\s*,\s*(?:W\/)?"[^"]*")*)\s*$/;

/** What is no ETag fits no version: a client that left out the quotes would read 412 again and again. */
function refuseNoTag(header: string | undefined): void {
  if (header !== undefined && !TAGS.test(header))
    throw new Problem('malformed-request', 'If-Match takes an ETag as it was answered, in double quotes: If-Match: "3".');
}

/** Takes a place of the tenant's share; returns how to give it back. */
function enter({ max, byTenant }: InFlight, tenant: string): () => void {
  const before = byTenant.get(tenant) ?? 0;
  if (before >= Math.max(1, max * LARGEST_SHARE))
    throw new Problem('rate-limited', 'Too many requests of this tenant are being served.', { headers: { 'Retry-After': '1' } });
  byTenant.set(tenant, before + 1);
  return () => {
    const now = byTenant.get(tenant)! - 1;
    if (now > 0) byTenant.set(tenant, now);
    else byTenant.delete(tenant);
  };
}

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
  const problem = toProblem(error);
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

/** The body as its route takes it: bytes, or JSON that stays inside the tenant and holds no secret where none may be. */
async function bodyAs<C>(
  gate: Gate<C>,
  route: Route<C>,
  caller: C | null,
  tenant: string | undefined,
  bytes: Buffer | undefined,
  asked: Asked | null,
  res: ServerResponse,
): Promise<Understood> {
  const { free = [], fixed = [] } = route;
  if (caller && bytes && !route.raw && bytes.length > SMALL_BODY_BYTES)
    return withinTime(gate.timeoutMs, res, (signalOf) => gate.understand(caller, bytes, { free, fixed, asked }, signalOf()));
  let body = bytes && (route.raw ? bytes : jsonOf(route, bytes, gate.body));
  if (tenant !== undefined) keepInside(tenant, {}, body);
  if (free.length + fixed.length > 0) body = await gate.screen(caller, body, { free, fixed });
  return { body, idempotency: idempotencyOf(asked, body, gate.mac) };
}

function jsonOf(route: { body?: unknown }, bytes: Buffer, limits: JsonLimits): unknown {
  if (bytes.length === 0 && !route.body) return undefined;
  if (bytes.length === 0)
    throw new Problem('malformed-json', 'A JSON body is required.', { errors: [{ pointer: '#', detail: 'required' }] });
  return parseJson(bytes, limits);
}
