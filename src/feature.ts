import type { z } from 'zod';
import type { Audit } from './audit/index.ts';
import type { Auth, Caller } from './auth/index.ts';
import type { Bounds } from './bounds.ts';
import type { Config } from './config.ts';
import type { FindUnreadable } from './consistency/index.ts';
import type { Sweep } from './db/sweep.ts';
import type { Tenants } from './db/tenant.ts';
import type { EventRow, Outcome } from './db/unit.ts';
import type { Watch } from './db/watch.ts';
import type { Examples } from './examples.ts';
import type { Health } from './health/index.ts';
import type { Held } from './http/gather.ts';
import type { Conflicts } from './http/problem.ts';
import type { Route } from './http/route.ts';
import type { Handlers, Jobs } from './jobs/index.ts';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics/index.ts';
import type { Portable } from './portable.ts';
import type { Seal } from './seal.ts';
import type { Secrets } from './secrets/index.ts';
import type { Signal } from './signal.ts';
import type { Workers } from './work/index.ts';

// What the door of a feature exports for the service, as `feature`; src/features.ts lists them. Why: docs/decisions/features.md.

/** What a feature is given. Each names what it uses of it. */
export interface Parts extends Store {
  known: Known;
  config: Config;
  log: Logger;
  /** Bounds of requests, out of the settings. */
  bounds: Bounds;
  /** Undefined in production without a key: then nothing is kept encrypted. */
  seal: Seal | undefined;
  metrics: Metrics;
  health: Health;
  workers: Workers;
  auth: Auth;
  secrets: Secrets;
  audit: Audit;
  jobs: Jobs;
  /** Memory reserved for request bodies. */
  held: Held;
  /** A credential of this tenant lost something on this daemon. */
  restricted: Signal<string>;
  /** The settings of this tenant were changed on this daemon. */
  changed: Signal<string>;
}

/** What all features together say. */
export interface Known {
  /** Of the audit. */
  actions: string[];
  /** Of events and memories. */
  kinds: string[];
  /** Of ids that must be there where a request cites them. */
  citedPrefixes: string[];
  /** Rows of exports, by the type of their lines. */
  portable: Record<string, Portable>;
  reports: Record<string, z.ZodType>;
  conflicts: Conflicts;
  effects: [noun: string, effect: EffectHandler][];
  unreadable: FindUnreadable[];
}

/** The part of the database that features use beside the tenant of a request. */
export interface Store {
  tenants: Tenants;
  watch: Pick<Watch, 'subscribe' | 'subscribeAll'>;
  ping(): Promise<unknown>;
  /** The database is the embedded one, which has one session. */
  embedded: boolean;
}

/** `Own`: what the feature keeps while the service runs. Everything is optional. */
export interface Feature<Own = undefined> {
  /** Makes it; nothing runs yet. */
  open?(parts: Parts): Own;
  routes?(parts: Parts, own: Own): (Route<Caller> | Route<null>)[];
  /** Handlers of jobs, by kind. */
  jobs?(parts: Parts, own: Own): Handlers;
  sweeps?(parts: Parts, own: Own): Sweep[];
  /** Figures that are read at each scrape. What is counted as it happens is made by `open`. */
  figures?(parts: Parts, own: Own): void;
  start?(own: Own): void;
  /** The daemon is stopping: ends what would otherwise keep its requests from ending. */
  drain?(own: Own): void;
  /** Requests have ended. */
  stop?(own: Own): Promise<void>;
  /** What a broken uniqueness of its tables means to a client, by the constraint. */
  conflicts?: Conflicts;
  /** By the noun that has the hooks. */
  effects?: Record<string, EffectHandler>;
  /** Of the events that it records, and of its rows where filters and rules tell those apart too. */
  kinds?: readonly string[];
  /** Prefixes of its ids. What begins with a `cited` one is no free name in the refs of a request: it must be there. */
  prefixes?: Record<string, 'cited' | 'free'>;
  /** What an entry of the audit may say was done: by its routes (their `audit`), its jobs, a command. docs/audit.md says when. */
  audit?: string[];
  isolation?: Isolation;
  /** Requests and responses that document its routes and that a test executes. */
  examples?(): Examples;
  /** Its rows in an export, as an import takes them, by the `part` that the migration gives to `portable`. `kinds`: those of all features. */
  portable?(kinds: string[]): Record<string, Portable>;
  /** Events in which the service reports that it forgot something, by kind: the form of the content. They are never erased. */
  reports?(kinds: string[]): Record<string, z.ZodType>;
  /** Finds rows of it, beside the log, that nobody can be given; consistency tells of them. */
  unreadable?: FindUnreadable;
}

/**
 * What a feature makes of events that clients record, in the transaction that writes them: its hooks `judge` and `apply` in SQL read what
 * `derive` returns.
 */
export interface EffectHandler<Payload extends object = object> {
  /** Of an event as it is stored; undefined: nothing. Asked in a worker thread where the request is large. */
  derive(row: EventRow): Payload | undefined;
  /** Throws where the caller may not; asked before anything is written. */
  check(caller: Caller, effects: EventEffect<Payload>[]): Promise<unknown>;
  /** What the answer says of such an event: the fields, and their values by the place of the event in its unit. */
  fields: z.ZodRawShape;
  answer(caller: Caller, effects: EventEffect<Payload>[], outcome: Outcome): Promise<Map<number, object>>;
}

export interface EventEffect<Payload extends object = object> {
  /** Of the event in its unit, from 0 on. */
  index: number;
  effect: Payload;
  /** Whose words the event holds, and whom it is about. */
  actor: { type: string; id: string };
  subject: string | undefined;
}

/** How a stranger would use the routes on what is not hers: tests/scenarios/i1.test.ts tries it, and fails for a route without a case. */
export interface Isolation {
  /** Makes something of the other tenant, as its owner alice does; returns ids by the parameters of paths that take them. */
  make?(owner: Owner, theirs: Ids): Promise<Ids>;
  /** Lists that show the owner what her tenant holds. */
  holdings?: string[];
  /** By operation. */
  cases: Record<string, IsolationCase>;
}

type Ids = Record<string, string>;

interface Owner {
  // biome-ignore lint/suspicious/noExplicitAny: whatever a route answers
  ask(method: string, path: string, asked?: { body?: unknown; headers?: Record<string, string> }): Promise<{ body: any }>;
}

/** A body or query that is valid but for whose it is; `theirs`: ids of the other tenant. */
export interface IsolationCase {
  /** Why there is nothing of a tenant to reach. */
  open?: string;
  body?(theirs: Ids): unknown;
  /** Bodies that cite ids of the other tenant: each is refused. */
  citing?(theirs: Ids): unknown[];
  query?(theirs: Ids): string;
  /** Lists and the like: the answer is the stranger's own and must not name anything of the other tenant. */
  ownAnswer?: boolean;
  /** Ends the stranger's own tenant or session, so only the forged tenant is tried. */
  forgedOnly?: boolean;
}
