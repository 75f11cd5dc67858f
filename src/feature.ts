import type { z } from 'zod';
import type { Audit } from './audit/index.ts';
import type { Auth, Caller } from './auth/index.ts';
import type { Bounds } from './bounds.ts';
import type { Config } from './config.ts';
import type { FindUnreadable } from './consistency/index.ts';
import type { DedicatedClient } from './db/pool.ts';
import type { Sweep } from './db/sweep.ts';
import type { Tenants } from './db/tenant.ts';
import type { EventRow, Outcome } from './db/unit.ts';
import type { Watch } from './db/watch.ts';
import type { OpenModels } from './embeddings/index.ts';
import type { ReplayChange } from './erasure/index.ts';
import type { Examples } from './examples.ts';
import type { Follow } from './follow/index.ts';
import type { Health } from './health/index.ts';
import type { BytesInFlight } from './http/body_buffer.ts';
import type { Mac } from './http/idempotency.ts';
import type { ConflictMessages } from './http/problem.ts';
import type { Route } from './http/route.ts';
import type { Handlers, Jobs } from './jobs/index.ts';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics/index.ts';
import type { Portable } from './portable.ts';
import type { RedisLink } from './redis/index.ts';
import type { Seal } from './seal.ts';
import type { Secrets } from './secrets/index.ts';
import type { Signal } from './signal.ts';
import type { Workers } from './work/index.ts';

// The type of the `feature` that the door of each feature exports; src/features.ts lists them. See docs/decisions/features.md.

/** The shared components of the service. A feature declares which of them it uses. */
export interface Parts extends Store {
  registry: Registry;
  config: Config;
  log: Logger;
  /** Limits of requests, from the settings. */
  bounds: Bounds;
  /** Keyed hash of requests, the same on all daemons. */
  mac: Mac;
  /** Undefined in production if no key is configured; features that encrypt then reject requests. */
  seal: Seal | undefined;
  metrics: Metrics;
  health: Health;
  workers: Workers;
  auth: Auth;
  secrets: Secrets;
  audit: Audit;
  jobs: Jobs;
  /** The streams of this daemon that follow a log. */
  follow: Follow;
  /** The models that the operator has configured. */
  models: OpenModels;
  /** Undefined if none is configured. Everything must work without it. */
  redis: RedisLink | undefined;
  /** Memory reserved for request bodies. */
  bytesInFlight: BytesInFlight;
  /** Fires with the tenant's id when this daemon revokes a credential of that tenant or reduces its rights. */
  restricted: Signal<string>;
  /** Fires with the tenant's id when this daemon changes settings of that tenant. */
  changed: Signal<string>;
}

/** The declarations of all features, combined. */
export interface Registry {
  /** Actions in the audit stream. */
  actions: string[];
  /** Kinds of events and memories. */
  kinds: string[];
  /** Prefixes of ids that must exist if a request cites them. */
  citedPrefixes: string[];
  /** Schemas of the rows of an export, by the type of the line. */
  portable: Record<string, Portable>;
  reports: Record<string, z.ZodType>;
  /** Repeats changes after a restore, by kind. */
  replays: Record<string, ReplayChange>;
  conflicts: ConflictMessages;
  effects: [noun: string, effect: EffectHandler][];
  unreadable: FindUnreadable[];
}

/** The parts of the database that features use apart from the tenant of a request. */
export interface Store {
  tenants: Tenants;
  watch: Pick<Watch, 'subscribe' | 'subscribeAll' | 'signal' | 'onSignal' | 'listens'>;
  ping(): Promise<unknown>;
  /** Opens a connection of the login role, which owns the tables, for maintenance. The caller must end it. Not for the embedded engine. */
  connect(): Promise<DedicatedClient>;
  /** Whether the database is the embedded engine, which has a single session. */
  embedded: boolean;
}

/** The contributions of a feature to the service; every member is optional. `Own` is the state that it keeps while the service runs. */
export interface Feature<Own = undefined> {
  /** Creates the feature's state. Must not start any work. */
  open?(parts: Parts): Own;
  routes?(parts: Parts, own: Own): (Route<Caller> | Route<null>)[];
  /** Job handlers, by kind. */
  jobs?(parts: Parts, own: Own): Handlers;
  sweeps?(parts: Parts, own: Own): Sweep[];
  /** Registers metrics that are computed at each scrape. `open` creates the counters that are incremented as things happen. */
  figures?(parts: Parts, own: Own): void;
  /** Gauges of the numbers that the `tally` hooks of its nouns return, added up over all tenants by the last sweep. */
  tallies?: Tally[];
  start?(own: Own): void;
  /** Called when the daemon begins to stop: ends everything that would keep requests open. */
  drain?(own: Own): void;
  /** Called after all requests have ended. */
  stop?(own: Own): Promise<void>;
  /** The problem that a client gets for a violated unique constraint, by the constraint's name. */
  conflicts?: ConflictMessages;
  /** Effects of events, by the noun whose hooks apply them. */
  effects?: Record<string, EffectHandler>;
  /** Kinds of the events that it records, and of its rows if filters and policies distinguish them. */
  kinds?: readonly string[];
  /** Prefixes of its ids. A ref with a `cited` prefix must name an existing row; with a `free` one it may be any text. */
  prefixes?: Record<string, 'cited' | 'free'>;
  /** Audit actions of its routes (their `audit`), jobs and commands. docs/audit.md describes each. */
  audit?: string[];
  isolation?: Isolation;
  /** Descriptions of the tags of its routes, which group operations in the documentation. */
  tags?: Record<string, string>;
  /** Requests and responses that document its routes and that a test executes. */
  examples?(): Examples;
  /** Schemas of its rows in an export, by the `part` that the migration passes to `noun`. `kinds` are those of all features. */
  portable?(kinds: string[]): Record<string, Portable>;
  /** Schemas of the events that report an erasure or a trim, by kind. These events are never erased. */
  reports?(kinds: string[]): Record<string, z.ZodType>;
  /** Repeats, after a restore, the changes that it recorded in the ledger (`controlRecorder` of src/erasure), by their kind. */
  replays?: Record<string, ReplayChange>;
  /** Finds rows of its tables, outside the log, that cannot be read. The consistency check reports them. */
  unreadable?: FindUnreadable;
}

/**
 * Derives an effect from events that clients record: a change that the feature makes in the same transaction. The feature's SQL hooks
 * `judge` and `apply` receive what `derive` returns.
 */
export interface EffectHandler<Payload extends object = object> {
  /** Returns the effect of an event, or undefined if it has none. Runs in a worker thread if the request is large. */
  derive(row: EventRow): Payload | undefined;
  /** Throws if the caller is not allowed to cause these effects. Called before anything is written. */
  check(caller: Caller, effects: EventEffect<Payload>[]): Promise<unknown>;
  /** The fields that the response adds to such an event. */
  fields: z.ZodRawShape;
  /** Returns the values of these fields, by the index of the event in its unit. */
  answer(caller: Caller, effects: EventEffect<Payload>[], outcome: Outcome): Promise<Map<number, object>>;
}

export interface EventEffect<Payload extends object = object> {
  /** Index of the event in its unit, from 0. */
  index: number;
  effect: Payload;
  /** The author of the event. */
  actor: { type: string; id: string };
  /** The user whom the event is about. */
  subject: string | undefined;
}

export interface Tally {
  name: string;
  help: string;
  /** Returns the value; undefined if there is none. */
  of(tallies: Record<string, number>): number | undefined;
}

/** Requests that try to reach another tenant's data. tests/scenarios/i1.test.ts sends them and fails for a route that has no case. */
export interface Isolation {
  /** Creates rows in the other tenant, as its owner alice. Returns their ids by the path parameter that takes each. */
  make?(owner: Owner, theirs: Ids): Promise<Ids>;
  /** Paths of lists that show the owner her tenant's rows. */
  holdings?: string[];
  /** The cases, by operation. */
  cases: Record<string, IsolationCase>;
}

type Ids = Record<string, string>;

interface Owner {
  // biome-ignore lint/suspicious/noExplicitAny: any response body
  request(method: string, path: string, options?: { body?: unknown; headers?: Record<string, string> }): Promise<{ body: any }>;
}

/** A request that is valid except that it uses `theirs`, the ids of the other tenant. */
export interface IsolationCase {
  /** The reason why the operation cannot reach data of any tenant. */
  open?: string;
  body?(theirs: Ids): unknown;
  /** Bodies that cite ids of the other tenant. Each must be rejected. */
  citing?(theirs: Ids): unknown[];
  query?(theirs: Ids): string;
  /** The operation succeeds (a list, for example), but its response must contain nothing of the other tenant. */
  ownAnswer?: boolean;
  /** The operation would end the caller's own tenant or session, or create a row of its own under the same name: only a forged tenant is tried. */
  forgedOnly?: boolean;
}
