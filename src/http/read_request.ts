import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AuditContext } from './audit.ts';
import { assertBodyAcceptable, readBody } from './body.ts';
import { type ByteReservation, openByteReservation, SMALL_BODY_BYTES } from './byte_reservation.ts';
import { type BodyCheck, openBodyCheck } from './digest.ts';
import { assertValidIfMatch } from './etag.ts';
import type { CallerIds, Gate, ParsedBody } from './gate.ts';
import { type IdempotencyRequest, idempotencyOf, idempotencyRequestOf } from './idempotency.ts';
import { type JsonLimits, parseJson } from './json.ts';
import { assertOwnTenant } from './own_tenant.ts';
import { Problem } from './problem.ts';
import { type Route, requiresBody } from './route.ts';
import { withTimeout } from './timeout.ts';
import { announcedLength, hasBody } from './unread_body.ts';
import { matchPath, urlOf } from './url.ts';

// Reads the path, the query, the headers and the body of a request.

/** A request that is being served, passed through all steps. */
export interface Exchange<C> {
  gate: Gate<C>;
  route: Route<C>;
  req: IncomingMessage;
  res: ServerResponse;
  /** The answer may take as long as bytes flow: the request has no total timeout. */
  streams: boolean;
  /** The data of a possible audit entry, filled in step by step. */
  audit: AuditContext<C>;
  /** Release its slots and its memory when the request ends. */
  releases: (() => void)[];
}

export interface ReceivedRequest {
  params: unknown;
  query: unknown;
  /** Undefined if the route takes no body and none was sent. */
  bytes: Buffer | undefined;
  /** Null if the client sent no Idempotency-Key. */
  idempotencyRequest: IdempotencyRequest | null;
}

/** Reads the request and makes the checks that do not depend on the route's schemas. */
export async function readRequest<C>(exchange: Exchange<C>, scope: CallerIds | null): Promise<ReceivedRequest> {
  const { gate, route, req, releases } = exchange;
  const reservation = openByteReservation(gate.bytesInFlight, scope?.tenant);
  releases.push(reservation.release);
  const check = openBodyCheck(scope?.digest);
  const bytes = expectsBody(route, req) ? await readRequestBody(exchange, reservation, check) : undefined;
  // A body that the route ignores counts as empty. A stream is checked while the handler reads it.
  if (!bytes && !route.bodyStream) check.finish();
  const { pathname, query } = urlOf(req);
  const params = matchPath(route.path, pathname);
  if (route.method !== 'GET') assertValidIfMatch(req.headers['if-match']);
  if (scope) assertOwnTenant(scope.tenant, req.headers, query);
  return { params, query, bytes, idempotencyRequest: idempotencyRequestOf(route, req, pathname, scope?.principal, query) };
}

/** An unexpected body must be an empty object, because unknown fields are rejected, never ignored. */
const expectsBody = (route: Pick<Route, 'body' | 'raw' | 'bodyStream' | 'method'>, req: IncomingMessage): boolean =>
  Boolean(route.body || route.raw) || (!route.bodyStream && route.method !== 'GET' && hasBody(req));

/**
 * Reads the body after checking its length, its type and the rate budgets. A body without a Content-Length is charged once it has been
 * read.
 */
async function readRequestBody<C>(
  { gate, route, req, res, audit: { caller } }: Exchange<C>,
  reservation: ByteReservation,
  check: BodyCheck,
): Promise<Buffer> {
  const own = caller ? gate.capabilityOf(caller)?.maxBytes : undefined;
  const maxBytes = Math.min(route.raw?.maxBytes ?? route.maxBytes ?? gate.body.maxBytes, own ?? Number.POSITIVE_INFINITY);
  assertBodyAcceptable(req, maxBytes, route.raw ? 'raw' : 'json');
  const announced = announcedLength(req);
  const charge = (bytes: number) => (caller && route.limit === 'v1' ? gate.admitBytes(caller, bytes) : undefined);
  await charge(Number.isFinite(announced) ? announced : 1);
  const bytes = await readBody(req, res, { maxBytes, reservation, timeoutMs: gate.timeoutMs, check });
  if (!Number.isFinite(announced)) await charge(bytes.length);
  return bytes;
}

/** Returns the body as bytes for a raw route, otherwise as JSON with its tenant id checked and its secrets screened. */
export async function parseRequestBody<C>(
  exchange: Exchange<C>,
  { bytes, idempotencyRequest }: ReceivedRequest,
  tenant: string | undefined,
): Promise<ParsedBody> {
  const { gate, route, res } = exchange;
  const { caller } = exchange.audit;
  const { freeText = [], unredactable = [] } = route;
  if (caller && bytes && !route.raw && bytes.length > SMALL_BODY_BYTES)
    return withTimeout(gate.timeoutMs, res, (signalOf) =>
      gate.parseInWorker(caller, bytes, { freeText, unredactable, idempotencyRequest }, signalOf()),
    );
  let body = bytes && (route.raw ? bytes : jsonOf(route, bytes, gate.body));
  if (tenant !== undefined) assertOwnTenant(tenant, {}, body);
  if (freeText.length + unredactable.length > 0) body = await gate.screen(caller, body, { freeText, unredactable });
  return { body, idempotency: idempotencyOf(idempotencyRequest, body, gate.mac) };
}

function jsonOf(route: Pick<Route, 'body'>, bytes: Buffer, limits: JsonLimits): unknown {
  if (bytes.length === 0 && !requiresBody(route)) return undefined;
  if (bytes.length === 0)
    throw new Problem('malformed-json', 'A JSON body is required.', { errors: [{ pointer: '#', detail: 'required' }] });
  return parseJson(bytes, limits);
}
