import type { IncomingMessage, ServerResponse } from 'node:http';
import { readBody, refuseBody } from './body.ts';
import { refuseNoTag } from './etag.ts';
import type { Gate, Understood } from './gate.ts';
import { type Hold, openHold, SMALL_BODY_BYTES } from './hold.ts';
import { type Asked, askedOf, idempotencyOf } from './idempotent.ts';
import { keepInside } from './inside.ts';
import { type JsonLimits, parseJson } from './json.ts';
import { Problem } from './problem.ts';
import type { Route } from './route.ts';
import type { Act } from './trail.ts';
import { announcedOf, bringsBody } from './unread.ts';
import { matchPath, urlOf } from './url.ts';
import { withinTime } from './within.ts';

// Reads the path, the query, the headers and the body of a request.

/** A request that is being served, passed through all steps. */
export interface Serving<C> {
  gate: Gate<C>;
  route: Route<C>;
  req: IncomingMessage;
  res: ServerResponse;
  /** The answer may take as long as bytes flow: the request has no total timeout. */
  streams: boolean;
  /** What an audit entry would need, filled in step by step. */
  act: Act<C>;
  /** Release its slots and its memory when the request ends. */
  releases: (() => void)[];
}

export interface Received {
  params: unknown;
  query: unknown;
  /** Undefined if the route takes no body and none was sent. */
  bytes: Buffer | undefined;
  /** Null if the client sent no Idempotency-Key. */
  asked: Asked | null;
}

export interface Scope {
  principal: string;
  tenant: string;
}

/** Reads the request and makes the checks that do not depend on the route's schemas. */
export async function receive<C>(serving: Serving<C>, scope: Scope | null): Promise<Received> {
  const { gate, route, req, releases } = serving;
  const hold = openHold(gate.held, scope?.tenant);
  releases.push(hold.release);
  const bytes = takesBody(route, req) ? await bodyOf(serving, hold) : undefined;
  const { pathname, query } = urlOf(req);
  const params = matchPath(route.path, pathname);
  if (route.method !== 'GET') refuseNoTag(req.headers['if-match']);
  if (scope) keepInside(scope.tenant, req.headers, query);
  return { params, query, bytes, asked: askedOf(route, req, pathname, scope?.principal, query) };
}

/** An unexpected body must be an empty object, because unknown fields are rejected, never ignored. */
const takesBody = (route: Pick<Route, 'body' | 'raw' | 'reads' | 'method'>, req: IncomingMessage): boolean =>
  Boolean(route.body || route.raw) || (!route.reads && route.method !== 'GET' && bringsBody(req));

/**
 * Reads the body after checking its length, its type and the rate budgets. A body without a Content-Length is charged once it has been
 * read.
 */
async function bodyOf<C>({ gate, route, req, res, act: { caller } }: Serving<C>, hold: Hold): Promise<Buffer> {
  const maxBytes = route.raw?.maxBytes ?? route.maxBytes ?? gate.body.maxBytes;
  refuseBody(req, maxBytes, route.raw ? 'raw' : 'json');
  const announced = announcedOf(req);
  const charge = (bytes: number) => (caller && route.limit === 'v1' ? gate.admitBytes(caller, bytes) : undefined);
  await charge(Number.isFinite(announced) ? announced : 1);
  const bytes = await readBody(req, res, { maxBytes, hold, timeoutMs: gate.timeoutMs });
  if (!Number.isFinite(announced)) await charge(bytes.length);
  return bytes;
}

/** Returns the body as bytes for a raw route, otherwise as JSON with its tenant id checked and its secrets screened. */
export async function bodyAs<C>(
  serving: Serving<C>,
  { bytes, asked }: Received,
  tenant: string | undefined,
): Promise<Understood> {
  const { gate, route, res } = serving;
  const { caller } = serving.act;
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
