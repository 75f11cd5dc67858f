import type { IncomingMessage, ServerResponse } from 'node:http';
import { auditRefusal, withAudit } from './audit.ts';
import { assertSingleHeaders, sendContinue } from './body.ts';
import { SMALL_BODY_BYTES } from './byte_reservation.ts';
import { fenceOf } from './fence.ts';
import type { CallerIds, Gate } from './gate.ts';
import { serializeLongLists } from './long_lists.ts';
import { Problem } from './problem.ts';
import { type Exchange, parseRequestBody, type ReceivedRequest, readRequest } from './read_request.ts';
import { type Input, parseInput, type Reply, type Route, STREAMED } from './route.ts';
import { beginResponse, send, sendProblem } from './send.ts';
import { reserveSlot, reserveTenantSlot } from './slots.ts';
import { withTimeout } from './timeout.ts';

// Serves one request from its first byte to its log line. All functions take plain node:http objects, so that routes are served by the
// same code with and without Express.

/** Serves a request. Any step may throw a Problem, which becomes the answer. The cheapest and least revealing checks come first. */
export async function serve<C>(gate: Gate<C>, route: Route<C>, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const exchange = open(gate, route, req, res);
  const { audit, releases } = exchange;
  try {
    const scope = await admit(exchange);
    const received = await readRequest(exchange, scope);
    await guard(exchange, received);
    const reply = isLarge(exchange, received)
      ? await answerLarge(exchange, received)
      : await answer(exchange, received, scope?.tenant);
    if (reply !== STREAMED) await send(res, route.success.status, reply);
  } catch (error) {
    auditRefusal(gate.audit, audit, sendProblem(gate, route.path, res, audit.request_id, error), error);
  } finally {
    for (const release of releases) release();
  }
}

function open<C>(gate: Gate<C>, route: Route<C>, req: IncomingMessage, res: ServerResponse): Exchange<C> {
  const streams =
    route.noTimeout === true || (route.streams !== undefined && /\btext\/event-stream\b/.test(req.headers.accept ?? ''));
  const request_id = beginResponse(gate, route.path, req, res, streams);
  const audit = { route, req, request_id, address: '', caller: null, params: undefined, query: undefined, body: undefined };
  return { gate, route, req, res, streams, audit, releases: [] };
}

/** Admits the request: reserves slots, authenticates and authorizes the caller, and applies the rate limits. */
async function admit<C>({ gate, route, req, res, streams, audit, releases }: Exchange<C>): Promise<CallerIds | null> {
  // health checks and metrics must be answered even if all other requests are shed
  const inFlight = streams || route.limit === 'none' ? undefined : gate.inFlight;
  if (inFlight) releases.push(reserveSlot(inFlight));
  audit.address = gate.addressOf(req);
  assertSingleHeaders(req);
  if (route.limit === 'auth') await gate.admit(route, null, audit.address, res);
  if (route.access !== 'none') audit.caller = (await (route.identify ?? gate.identify)(req)) as C;
  const { caller } = audit;
  const capability = caller && gate.capabilityOf(caller);
  if (capability && !route.capability) throw new Problem('forbidden', 'Capabilities do not permit this operation.');
  if (caller && route.access !== 'none' && route.access !== 'any') gate.authorize(caller, route.access);
  if (route.limit === 'v1') await gate.admit(route, caller, audit.address, res);
  const counted = capability?.admit();
  if (counted) await counted;
  const scope = caller && gate.idsOf(caller);
  if (inFlight && scope) releases.push(reserveTenantSlot(inFlight, scope.tenant));
  const claimed = caller && gate.claimNonce(caller);
  if (claimed) await claimed;
  return scope;
}

/** The body of a request with a capability is always parsed here, because the capability must permit what is in it. */
/** Makes the writes of the request depend on the lease that it names, and refuses it at once if that lease is not held. */
async function guard<C>({ gate, route, req, audit }: Exchange<C>, { idempotencyRequest }: ReceivedRequest): Promise<void> {
  const fence = audit.caller && fenceOf(route, req);
  if (fence) audit.caller = await gate.fence(audit.caller!, fence, idempotencyRequest?.key ?? null);
}

const isLarge = <C>({ gate, route, audit: { caller } }: Exchange<C>, { bytes }: ReceivedRequest): boolean =>
  Boolean(caller && bytes && route.handleLarge) && bytes!.length > SMALL_BODY_BYTES && !gate.capabilityOf(caller!);

/** Passes the unparsed body to the route, which gives it to a worker. */
function answerLarge<C>(
  { gate, route, req, res, audit }: Exchange<C>,
  { params, query, bytes, idempotencyRequest }: ReceivedRequest,
): Promise<Reply> {
  const parsed = parseInput({ ...route, body: undefined, raw: undefined }, { params, query, body: undefined });
  const input = { caller: audit.caller, address: audit.address, req, res, ...parsed, bytes, idempotencyRequest };
  return withTimeout(gate.timeoutMs, res, (signalOf) => route.handleLarge!({ ...input, signal: signalOf() } as never));
}

async function answer<C>(exchange: Exchange<C>, received: ReceivedRequest, tenant: string | undefined) {
  const { gate, route, req, res, streams, audit } = exchange;
  const { body, idempotency } = await parseRequestBody(exchange, received, tenant);
  const parsed = parseInput(route, { params: received.params, query: received.query, body });
  Object.assign(audit, parsed);
  if (audit.caller) gate.capabilityOf(audit.caller)?.assertCovers(route.capability!({ ...parsed, streams }));
  const input = { caller: audit.caller as C, address: audit.address, req, res, ...parsed, idempotency };
  if (route.bodyStream) sendContinue(req, res);
  return withTimeout(streams ? 0 : gate.timeoutMs, res, async (signalOf) => {
    // a getter, because few handlers use the signal
    Object.defineProperty(input, 'signal', { get: signalOf });
    const reply = await withAudit(gate.audit, audit, () => answerOf(exchange, input as never, signalOf));
    return reply === STREAMED ? reply : serializeLongLists(reply, signalOf);
  });
}

type AnyInput<C> = Input<C, undefined, undefined, undefined>;

/** Answers with a stream, with a worker if the read is heavy, or with the handler. */
function answerOf<C>({ gate, route, streams }: Exchange<C>, input: AnyInput<C>, signalOf: () => AbortSignal) {
  if (streams && route.streams) return route.streams(input);
  const weight = gate.readInWorker && route.heavy?.(input);
  if (!weight) return route.handle(input);
  const { caller, params, query, body } = input;
  const runInline = weight === 'perhaps' ? () => route.handle(input) : undefined;
  return gate.readInWorker!({
    operation: route.operation,
    caller,
    input: { params, query, body },
    signal: signalOf(),
    runInline,
  });
}
