import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import { check } from './faults.ts';
import type { Asked } from './idempotent.ts';
import { type Fault, Problem, type ProblemType } from './problem.ts';

// Routes are values: `serve` validates with their schemas, `openapi` documents the same objects, tests iterate over them.

type Shape = z.ZodType | undefined;
type Output<T extends Shape> = T extends z.ZodType ? z.output<T> : undefined;

/** Who asks again under which Idempotency-Key, and with which body: hex SHA-256 of both, that of the body under a key. */
export interface Idempotency {
  key: string;
  body: string;
}

/** A body of more than 64 KiB, not parsed: `large` of its route gives it to a worker. */
interface LargeInput<C, P extends Shape, Q extends Shape> {
  caller: C;
  params: Output<P>;
  query: Output<Q>;
  bytes: Buffer;
  asked: Asked | null;
  req: IncomingMessage;
  res: ServerResponse;
  signal: AbortSignal;
}

export interface Input<C, P extends Shape, Q extends Shape, B extends Shape> {
  caller: C;
  params: Output<P>;
  query: Output<Q>;
  body: Output<B>;
  /** Null where the client sent no Idempotency-Key. */
  idempotency: Idempotency | null;
  /** The remote address, as far as the configured proxies can be believed. */
  address: string;
  req: IncomingMessage;
  res: ServerResponse;
  /** Aborted when the client is gone or the time is up. */
  signal: AbortSignal;
}

/** What a handler answers with; the status is the route's unless it says another. */
export interface Reply {
  status?: number;
  headers?: Record<string, string>;
  body?: unknown;
  /**
   * What the audit names beside the parameters of the path and the ids that the answer begins with: what was granted, never secrets or
   * content.
   */
  audit?: Record<string, unknown>;
  /** Which of the route's actions it was, where that is not the first. */
  action?: string;
}

/** A handler that has written the response itself (streams) returns this. */
export const STREAMED = Symbol('streamed');

/** What a client may get; without a schema the body is bytes of the media type, without either there is none. */
export interface Answer {
  status: number;
  description: string;
  schema?: z.ZodType;
  mediaType?: string;
}

export interface Route<C = unknown> {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** As OpenAPI writes it: `/v1/events/{event_id}`. */
  path: string;
  operation: string;
  /** Imperative, at most ten words. */
  summary: string;
  /** Sentences that the summary has no room for. */
  description?: string;
  tag: string;
  /** What the credential must be allowed; `any`: whatever it is allowed; `none`: no credential is required. */
  access: 'none' | 'any' | 'read' | 'write' | 'admin';
  /** Which limiter counts it: by address, by principal and tenant, or none. */
  limit: 'auth' | 'v1' | 'none';
  params?: z.ZodType;
  query?: z.ZodType;
  body?: z.ZodType;
  /** `raw`: the body is bytes of any media type, at most this many. */
  raw?: { maxBytes: number };
  /** The handler reads the body itself, which is of this media type and may be larger than memory. */
  reads?: string;
  /** Takes as long as bytes flow, one way or the other: the handler minds idleness, no clock minds the whole. */
  long?: boolean;
  /** Largest JSON body, where it is not the service's own limit. */
  maxBytes?: number;
  /** A write that honours Idempotency-Key. */
  idempotent?: boolean;
  /**
   * The action under which the audit names a success (src/http/trail.ts). Every write of an admin or under /auth says one, or false
   * where it changes nothing of lasting interest. The first of several, unless the reply names another.
   */
  audit?: string | string[] | false;
  /** Of a route that anyone may call: the tenant that its body is about. */
  tenantOf?(body: never): string | undefined;
  /** Words of the client's own in the body (`reason`, `patch/text`): secrets are cut out of them before anything else is done. */
  free?: string[];
  /** What links or selects and so cannot be redacted (`user_id`, `filter`): refused where it holds a secret. */
  fixed?: string[];
  /** May be served by the thin door in front of Express. */
  hot?: boolean;
  /** Answers `Accept: text/event-stream` with a stream, which has no time limit. */
  streams?(input: Input<C, Shape, Shape, Shape>): Promise<typeof STREAMED>;
  /**
   * Of a read: whether it is one that takes long, by what it asks for. A worker answers it, in its tenant's turn, with what the handler
   * makes of `caller`, `params`, `query`, `body` and `signal` (src/reads.ts). `perhaps`: it depends on what the tenant holds, so it counts
   * as heavy until one of its kind was seen to be short.
   */
  heavy?(input: Input<C, Shape, Shape, Shape>): Weight;
  success: Answer & { status: 200 | 201 | 202 | 204 };
  /** Further answers that are no problems: a range, a stream, an unhealthy report. */
  also?: Answer[];
  problems: ProblemType[];
  handle(input: Input<C, Shape, Shape, Shape>): Promise<Reply | typeof STREAMED>;
  /** Answers a body of more than 64 KiB in the place of `handle`. */
  large?(input: LargeInput<C, Shape, Shape>): Promise<Reply>;
}

type Weight = boolean | 'perhaps';

type Declared<C, P extends Shape, Q extends Shape, B extends Shape> = Omit<
  Route<C>,
  'params' | 'query' | 'body' | 'handle' | 'large' | 'streams' | 'heavy'
> & {
  params?: P;
  query?: Q;
  body?: B;
  handle(input: Input<C, P, Q, B>): Promise<Reply | typeof STREAMED>;
  large?(input: LargeInput<C, P, Q>): Promise<Reply>;
  streams?(input: Input<C, P, Q, B>): Promise<typeof STREAMED>;
  heavy?(input: Input<C, P, Q, B>): Weight;
};

/** Makes the function that declares routes for one kind of caller. */
export const declareFor =
  <C>() =>
  <P extends Shape = undefined, Q extends Shape = undefined, B extends Shape = undefined>(
    route: Declared<C, P, Q, B>,
  ): Route<C> =>
    route as unknown as Route<C>;

export interface Unparsed {
  params: unknown;
  query: unknown;
  body: unknown;
}

/** Params, query and body by the route's schemas; everything that is wrong is reported at once. */
export function parseInput(route: Route<never>, raw: Unparsed): Unparsed {
  const faults: Fault[] = [];
  const parsed = {
    params: check(route.params, raw.params, 'parameter', faults),
    query: check(route.query ?? nothing, raw.query, 'parameter', faults),
    body: route.raw ? raw.body : check(route.body ?? (raw.body === undefined ? undefined : nothing), raw.body, 'pointer', faults),
  };
  refuseFaults(faults);
  return parsed;
}

function refuseFaults(faults: Fault[]): void {
  const [first] = faults;
  if (first) throw new Problem('validation', `${first.pointer ?? first.parameter}: ${first.detail}`, { errors: faults });
}

/** A body by its schema. */
export function parseBody(schema: z.ZodType, value: unknown): unknown {
  const faults: Fault[] = [];
  const body = check(schema, value, 'pointer', faults);
  refuseFaults(faults);
  return body;
}

const nothing = z.strictObject({});
