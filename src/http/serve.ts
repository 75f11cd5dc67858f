import type { IncomingMessage, ServerResponse } from 'node:http';
import { letCome, refuseRepeated } from './body.ts';
import type { Gate } from './gate.ts';
import { SMALL_BODY_BYTES } from './hold.ts';
import { takePlace, takeShare } from './places.ts';
import { bodyAs, type Received, receive, type Scope, type Serving } from './receive.ts';
import { type Input, parseInput, type Reply, type Route, STREAMED } from './route.ts';
import { begin, refuse, send } from './send.ts';
import { audited, tellRefusal } from './trail.ts';
import { withinTime } from './within.ts';
import { written } from './written.ts';

// Serves one request from its first byte to its log line. All functions take plain node:http objects, so that routes are served by the
// same code with and without Express.

/** Serves a request. Any step may throw a Problem, which becomes the answer. The cheapest and least revealing checks come first. */
export async function serve<C>(gate: Gate<C>, route: Route<C>, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const serving = open(gate, route, req, res);
  const { act, releases } = serving;
  try {
    const scope = await admit(serving);
    const received = await receive(serving, scope);
    const reply = isLarge(serving, received)
      ? await answerLarge(serving, received)
      : await answer(serving, received, scope?.tenant);
    if (reply !== STREAMED) await send(res, route.success.status, reply);
  } catch (error) {
    tellRefusal(gate.trail, act, refuse(gate, route.path, res, act.request_id, error));
  } finally {
    for (const release of releases) release();
  }
}

function open<C>(gate: Gate<C>, route: Route<C>, req: IncomingMessage, res: ServerResponse): Serving<C> {
  const streams = route.long === true || (route.streams !== undefined && /\btext\/event-stream\b/.test(req.headers.accept ?? ''));
  const request_id = begin(gate, route.path, req, res, streams);
  const act = { route, req, request_id, address: '', caller: null, params: undefined, query: undefined, body: undefined };
  return { gate, route, req, res, streams, act, releases: [] };
}

/** Admits the request: reserves slots, authenticates and authorizes the caller, and applies the rate limits. */
async function admit<C>({ gate, route, req, res, streams, act, releases }: Serving<C>): Promise<Scope | null> {
  // health checks and metrics must be answered even if all other requests are shed
  const inFlight = streams || route.limit === 'none' ? undefined : gate.inFlight;
  if (inFlight) releases.push(takePlace(inFlight));
  act.address = gate.addressOf(req);
  refuseRepeated(req);
  if (route.limit === 'auth') await gate.admit(route, null, act.address, res);
  if (route.access !== 'none') act.caller = await gate.identify(req);
  const { caller } = act;
  if (caller && route.access !== 'none' && route.access !== 'any') gate.authorize(caller, route.access);
  if (route.limit === 'v1') await gate.admit(route, caller, act.address, res);
  const scope = caller && gate.scopeOf(caller);
  if (inFlight && scope) releases.push(takeShare(inFlight, scope.tenant));
  return scope;
}

const isLarge = <C>({ route, act }: Serving<C>, { bytes }: Received): boolean =>
  Boolean(act.caller && bytes && route.large) && bytes!.length > SMALL_BODY_BYTES;

/** Passes the unparsed body to the route, which gives it to a worker. */
function answerLarge<C>({ gate, route, req, res, act }: Serving<C>, { params, query, bytes, asked }: Received): Promise<Reply> {
  const parsed = parseInput({ ...route, body: undefined, raw: undefined }, { params, query, body: undefined });
  const input = { caller: act.caller, address: act.address, req, res, ...parsed, bytes, asked };
  return withinTime(gate.timeoutMs, res, (signalOf) => route.large!({ ...input, signal: signalOf() } as never));
}

async function answer<C>(serving: Serving<C>, received: Received, tenant: string | undefined) {
  const { gate, route, req, res, streams, act } = serving;
  const { body, idempotency } = await bodyAs(serving, received, tenant);
  const parsed = parseInput(route, { params: received.params, query: received.query, body });
  Object.assign(act, parsed);
  const input = { caller: act.caller as C, address: act.address, req, res, ...parsed, idempotency };
  if (route.reads) letCome(req, res);
  return withinTime(streams ? 0 : gate.timeoutMs, res, async (signalOf) => {
    // a getter, because few handlers use the signal
    Object.defineProperty(input, 'signal', { get: signalOf });
    const reply = await audited(gate.trail, act, () => answerOf(serving, input as never, signalOf));
    return reply === STREAMED ? reply : written(reply, signalOf);
  });
}

type AnyInput<C> = Input<C, undefined, undefined, undefined>;

/** Answers with a stream, with a worker if the read is heavy, or with the handler. */
function answerOf<C>({ gate, route, streams }: Serving<C>, input: AnyInput<C>, signalOf: () => AbortSignal) {
  if (streams && route.streams) return route.streams(input);
  const weight = gate.readApart && route.heavy?.(input);
  if (!weight) return route.handle(input);
  const { caller, params, query, body } = input;
  const inPlace = weight === 'perhaps' ? () => route.handle(input) : undefined;
  return gate.readApart!({ operation: route.operation, caller, input: { params, query, body }, signal: signalOf(), inPlace });
}
