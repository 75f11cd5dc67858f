import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from '../log.ts';
import type { Held } from './gather.ts';
import type { Asked } from './idempotent.ts';
import type { JsonLimits } from './json.ts';
import type { InFlight } from './places.ts';
import type { Conflicts, ProblemType } from './problem.ts';
import type { Idempotency, Reply, Route, STREAMED, Unparsed } from './route.ts';
import type { Trail } from './trail.ts';

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
  /** What a broken uniqueness means to a client. */
  conflicts: Conflicts;
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

export interface Understood {
  body: unknown;
  idempotency: Idempotency | null;
}
