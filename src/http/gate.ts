import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from '../log.ts';
import type { AuditRecorder } from './audit.ts';
import type { BytesInFlight } from './body_buffer.ts';
import type { Capability } from './capability.ts';
import type { Fence } from './fence.ts';
import type { IdempotencyRequest } from './idempotency.ts';
import type { JsonLimits } from './json.ts';
import type { ConflictMessages, ProblemType } from './problem.ts';
import type { Idempotency, RawInput, Reply, Route, STREAMED } from './route.ts';
import type { InFlight } from './slots.ts';

export interface CallerIds {
  principal: string;
  tenant: string;
  /** SHA-256 that the body must have. */
  digest?: Buffer | undefined;
}

/** Dependencies of `serve` that src/http may not import. */
export interface Gate<C> {
  identify(req: IncomingMessage): Promise<C>;
  /** Returns the limits of a caller that is authenticated by a capability; otherwise undefined. */
  capabilityOf(caller: C): Capability | undefined;
  /** Throws `forbidden` if the caller may not use routes of this access. */
  authorize(caller: C, access: 'read' | 'write' | 'admin'): void;
  /** Counts the request; sets RateLimit headers; throws `rate-limited`. */
  admit(route: Route<C>, caller: C | null, address: string, res: ServerResponse): Promise<void>;
  /** Charges the bytes of a body to the budgets of its principal and tenant; throws `rate-limited`. Returns undefined if it was charged synchronously. */
  admitBytes(caller: C, bytes: number): Promise<void> | undefined;
  /** Claims the nonce of a signed request, after the rate limits. Throws `unauthenticated` for a replay. Returns undefined for other requests. */
  claimNonce(caller: C): Promise<void> | undefined;
  /**
   * Returns the principal, which scopes Idempotency-Key, the tenant, which every id in the request must belong to, and the digest of the
   * body of a signed request.
   */
  idsOf(caller: C): CallerIds;
  /**
   * Returns the caller with a tenant whose writes depend on the lease. Throws `stale-lease` if it is not held with this token, unless the outcome of
   * the request is stored under the hash `key`: a retry is answered whatever has become of the lease.
   */
  fence(caller: C, fence: Fence, key: string | null): Promise<C>;
  addressOf(req: IncomingMessage): string;
  /** Called once per finished request. `ms` is undefined for streams, whose duration depends on the client. */
  observeRequest(route: string, method: string, status: number, ms: number | undefined): void;
  /** Called once per request that is answered with a problem. */
  countProblem(route: string, problem: ProblemType): void;
  /** Problem details for violated unique constraints. */
  conflicts: ConflictMessages;
  /** Returns true if a text that would be logged and echoed contains a secret. */
  holdsSecret(text: string): boolean;
  /** Redacts secrets in the `freeText` fields. Throws if the tenant refuses secrets, or if a `unredactable` field contains one. */
  screen(caller: C | null, body: unknown, pointers: { freeText: string[]; unredactable: string[] }): Promise<unknown>;
  /** Parses, screens and hashes a large JSON body in a worker thread. */
  parseInWorker(caller: C, bytes: Buffer, how: ParseTask, signal: AbortSignal): Promise<ParsedBody>;
  /** Answers a heavy read in a worker thread; absent if no worker may read. */
  readInWorker?(read: WorkerRead<C>): Promise<Reply | typeof STREAMED>;
  /**
   * Returns a keyed hash in hex, so that a stored hash does not reveal a guessable body. It is the same on every daemon and after a
   * restart.
   */
  mac(data: string | Buffer): string;
  audit: AuditRecorder<C>;
  body: JsonLimits & { maxBytes: number };
  bytesInFlight: BytesInFlight;
  inFlight: InFlight;
  timeoutMs: number;
  log: Logger;
}

export interface WorkerRead<C> {
  operation: string;
  caller: C;
  input: RawInput;
  signal: AbortSignal;
  /** Answers on the event loop; set if the read may turn out to be short. */
  runInline: (() => Promise<Reply | typeof STREAMED>) | undefined;
}

export interface ParseTask {
  freeText: string[];
  unredactable: string[];
  idempotencyRequest: IdempotencyRequest | null;
}

export interface ParsedBody {
  body: unknown;
  idempotency: Idempotency | null;
}
