import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import type { Use } from './capability.ts';
import type { IdempotencyRequest } from './idempotency.ts';
import { type FieldError, Problem, type ProblemType } from './problem.ts';
import { validate } from './validate.ts';

// Routes are values: `serve` validates with their schemas, `openapi` documents the same objects, and tests iterate over them.

type Shape = z.ZodType | undefined;
type Output<T extends Shape> = T extends z.ZodType ? z.output<T> : undefined;

/** Identifies a retry. `key` is the SHA-256 of the caller, the route and the Idempotency-Key, in hex; `body` is a keyed hash of the body. */
export interface Idempotency {
  key: string;
  body: string;
}

/** Input with an unparsed body of more than 64 KiB, which `handleLarge` passes to a worker. */
interface LargeInput<C, P extends Shape, Q extends Shape> {
  caller: C;
  params: Output<P>;
  query: Output<Q>;
  bytes: Buffer;
  idempotencyRequest: IdempotencyRequest | null;
  req: IncomingMessage;
  res: ServerResponse;
  signal: AbortSignal;
}

export interface Input<C, P extends Shape, Q extends Shape, B extends Shape> {
  caller: C;
  params: Output<P>;
  query: Output<Q>;
  body: Output<B>;
  /** Null if the client sent no Idempotency-Key. */
  idempotency: Idempotency | null;
  /** The client address, taken from the configured number of proxies. */
  address: string;
  req: IncomingMessage;
  res: ServerResponse;
  /** Aborted when the client disconnects or the request times out. */
  signal: AbortSignal;
}

/** The answer of a handler. */
export interface Reply {
  /** Default: the status of the route's `success`. */
  status?: number;
  headers?: Record<string, string>;
  body?: unknown;
  /** Facts for the audit entry besides the path parameters and the ids in the answer, such as what was granted. No secrets, no content. */
  audit?: Record<string, unknown>;
  /** The audit action, if it is not the route's first. */
  action?: string;
}

/** Returned by a handler that has written the response itself (streams). */
export const STREAMED = Symbol('streamed');

/** A possible response. Without a schema the body is bytes of the media type; without either there is no body. */
export interface Answer {
  status: number;
  description: string;
  schema?: z.ZodType;
  mediaType?: string;
}

export interface Route<C = unknown> {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** In OpenAPI notation: `/v1/events/{event_id}`. A parameter `{+name}` takes one or more segments (src/http/url.ts). */
  path: string;
  operation: string;
  /** Imperative, at most ten words. */
  summary: string;
  /** Sentences that the summary has no room for. */
  description?: string;
  tag: string;
  /** Required scope. `any`: a credential with any scope; `none`: no credential. */
  access: 'none' | 'any' | 'read' | 'write' | 'admin';
  /** Returns the caller in place of `identify` of the gate. Throws `unauthenticated` or `forbidden`. */
  identify?(req: IncomingMessage): Promise<unknown>;
  /** Takes the place of the route of another feature with the same method and path. */
  replaces?: true;
  /** Rate limit: by address, by principal and tenant, or none. */
  limit: 'auth' | 'v1' | 'none';
  /** `admin`: the route is for operators, and is served on ADMIN_PORT instead of PORT if that is set. */
  listener?: 'admin';
  params?: z.ZodType;
  query?: z.ZodType;
  body?: z.ZodType;
  /** Media types of a JSON body, if they are not `application/json` alone. The handler tells them apart. */
  bodyTypes?: string[];
  /** The body is raw bytes of any media type, at most this many. */
  raw?: { maxBytes: number };
  /** Media type of a body that the handler reads itself as a stream, because it may be larger than memory. */
  bodyStream?: string;
  /** May take as long as bytes flow: the handler detects idleness, and the request has no total timeout. */
  noTimeout?: boolean;
  /** Largest JSON body in bytes, if it differs from the service's limit. */
  maxBytes?: number;
  /** The write accepts Idempotency-Key. */
  idempotent?: boolean;
  /**
   * Audit actions (src/http/audit.ts). A success is recorded under the first, unless the reply names another. Every write by admins or under
   * /auth declares one, or false if it changes nothing of lasting interest.
   */
  audit?: string | string[] | false;
  /** For a route without credentials: returns the tenant that the body names. */
  tenantOf?(body: never): string | undefined;
  /** Free-text fields of the body (`reason`, `patch/text`): secrets in them are redacted before anything else happens. */
  freeText?: string[];
  /** Fields that identify or select (`user_id`, `filter`) and therefore cannot be redacted: a secret in them is rejected. */
  unredactable?: string[];
  /** The operations of a request that a capability must permit. Without it, requests with a capability are refused. `streams`: the answer is a stream. */
  capability?(input: { params: unknown; query: unknown; body: unknown; streams: boolean }): Use[];
  /** May be served without Express, for speed (THIN_DOOR). */
  fastPath?: boolean;
  /** Answers `Accept: text/event-stream` with a stream, which has no timeout. */
  streams?(input: Input<C, Shape, Shape, Shape>): Promise<typeof STREAMED>;
  /**
   * Returns true if a read takes long, judging by its input. A worker then runs the handler with `caller`, `params`, `query`, `body` and
   * `signal` (src/reads.ts), and tenants take turns. `perhaps`: the duration depends on the tenant's data, so the read counts as heavy
   * until one of its kind has proved to be short.
   */
  heavy?(input: Input<C, Shape, Shape, Shape>): Weight;
  success: Answer & { status: 200 | 201 | 202 | 204 };
  /** Responses that are neither `success` nor problems: a range, a stream, an unhealthy report. */
  otherAnswers?: Answer[];
  problems: ProblemType[];
  handle(input: Input<C, Shape, Shape, Shape>): Promise<Reply | typeof STREAMED>;
  /** Replaces `handle` for bodies of more than 64 KiB. */
  handleLarge?(input: LargeInput<C, Shape, Shape>): Promise<Reply>;
}

type Weight = boolean | 'perhaps';

type RouteDeclaration<C, P extends Shape, Q extends Shape, B extends Shape> = Omit<
  Route<C>,
  'params' | 'query' | 'body' | 'identify' | 'capability' | 'handle' | 'handleLarge' | 'streams' | 'heavy'
> & {
  identify?(req: IncomingMessage): Promise<C>;
  params?: P;
  query?: Q;
  body?: B;
  capability?(input: { params: Output<P>; query: Output<Q>; body: Output<B>; streams: boolean }): Use[];
  handle(input: Input<C, P, Q, B>): Promise<Reply | typeof STREAMED>;
  handleLarge?(input: LargeInput<C, P, Q>): Promise<Reply>;
  streams?(input: Input<C, P, Q, B>): Promise<typeof STREAMED>;
  heavy?(input: Input<C, P, Q, B>): Weight;
};

/** Returns the function that declares routes for one type of caller. */
export const declareFor =
  <C>() =>
  <P extends Shape = undefined, Q extends Shape = undefined, B extends Shape = undefined>(
    route: RouteDeclaration<C, P, Q, B>,
  ): Route<C> =>
    route as unknown as Route<C>;

/** Returns whether a request must have a JSON body. It may be absent if the schema has a default. */
export const requiresBody = ({ body }: Pick<Route, 'body'>): boolean => body !== undefined && !body.safeParse(undefined).success;

export interface RawInput {
  params: unknown;
  query: unknown;
  body: unknown;
}

/** Params, query and body by the route's schemas; everything that is wrong is reported at once. */
export function parseInput(route: Route<never>, raw: RawInput): RawInput {
  const faults: FieldError[] = [];
  const parsed = {
    params: validate(route.params, raw.params, 'parameter', faults),
    query: validate(route.query ?? nothing, raw.query, 'parameter', faults),
    body: route.raw
      ? raw.body
      : validate(route.body ?? (raw.body === undefined ? undefined : nothing), raw.body, 'pointer', faults),
  };
  refuseFaults(faults);
  return parsed;
}

function refuseFaults(faults: FieldError[]): void {
  const [first] = faults;
  if (first) throw new Problem('validation', `${first.pointer ?? first.parameter}: ${first.detail}`, { errors: faults });
}

/** Validates a body. */
export function parseBody(schema: z.ZodType, value: unknown): unknown {
  const faults: FieldError[] = [];
  const body = validate(schema, value, 'pointer', faults);
  refuseFaults(faults);
  return body;
}

const nothing = z.strictObject({});
