import type pg from 'pg';
import type { SkippedRow } from '../readable.ts';
import { type CommitRow, lastWritten, toOutcome } from './commit.ts';
import { retryDeadlocks } from './deadlock.ts';
import { createLookUps } from './look_up.ts';
import { markRolledBack, type Pool } from './pool.ts';
import { type Db, dbOf, type OnSkipped, type RowChecker, rowCheckerOf } from './query.ts';
import { type Guards, type Outcome, type Unit, withGuards } from './unit.ts';

/** Access to the rows of one tenant. Requests have no other access to the database. */
export interface Tenant extends RowChecker {
  readonly id: string;
  /** Runs a statement in one round trip. It must call a function that starts with `enter_tenant`. With `name` it is prepared. */
  call<Row>(text: string, values: unknown[], name?: string): Promise<Row[]>;
  /**
   * Returns the row with this id. The statement is like one of `call`; its parameters are the tenant, a list of ids and `values`. Look-ups
   * that differ only in the id share a round trip.
   */
  lookUp<Row>(query: LookUp, id: string, values: unknown[]): Promise<Row | undefined>;
  /** Runs `work` in a read-only transaction. It must use only the given `db`: with a single connection, a second one would deadlock. */
  read<T>(work: (db: Db) => Promise<T>): Promise<T>;
  /** Runs `work` in a read-only transaction with one snapshot. It must be short, because the snapshot blocks vacuum. */
  snapshot<T>(work: (db: Db) => Promise<T>): Promise<T>;
  /** Runs `work` in a transaction. It must be short: no HTTP, bcrypt or embedding inside. */
  write<T>(work: (db: Db) => Promise<T>): Promise<T>;
  /** Appends a unit to the log through the tenant's write queue. */
  commit(unit: Unit): Promise<Outcome>;
  /**
   * Runs a statement that calls a function which locks the clock, makes its checks, writes one unit through commit_units and changes its
   * view. For changes that are rarer than appends. It must return one row with the columns of commit_units.
   */
  change(text: string, values: unknown[]): Promise<Outcome>;
  /**
   * Returns the tenant with conditions that are checked in the transaction of each `write`, `commit` and `change`. Keeps earlier guards. `key`: hash of
   * the Idempotency-Key; a request whose outcome is stored under it passes.
   */
  guarded(guards: Guards, key?: string | null): Tenant;
  /** Checks the guards at once. Throws their refusal. */
  check(): Promise<void>;
}

interface LookUp {
  text: string;
  name: string;
  /** The column that holds the id. */
  id: string;
}

export type Tenants = (id: string) => Tenant;

/** PostgreSQL answers COMMIT of an aborted transaction with ROLLBACK and no error. */
class CommitRefused extends Error {
  readonly code = '25P02';
  constructor() {
    super('the transaction was rolled back instead of committed');
    this.name = 'CommitRefused';
  }
}

export function tenantsOf(
  pool: Pool,
  commit: (tenant: string, unit: Unit) => Promise<Outcome>,
  onCommitted: (tenant: string, lastSeq: number) => void,
  onSkippedRow: (tenant: string, row: SkippedRow) => void,
): Tenants {
  const lookUp = createLookUps<unknown>();
  const tenantOf = (id: string, guards?: Guards, key: string | null = null): Tenant => {
    const onSkipped: OnSkipped = (row) => onSkippedRow(id, row);
    const call = <Row>(text: string, values: unknown[], name?: string) =>
      retryDeadlocks(() => pool.using((client) => dbOf(client, pool.named, onSkipped).rows<Row>(text, values, name), id));
    const transaction = <T>(begin: string, work: (db: Db) => Promise<T>, last?: (db: Db) => Promise<unknown>) =>
      pool.using((client) => inTransaction(pool, client, { id, begin, onSkipped }, work, last), id);
    const write = <T>(work: (db: Db) => Promise<T>) => {
      if (!guards) return transaction('begin', work);
      const values = [id, JSON.stringify(guards)];
      let isRetry = false;
      const guardedWork = async (db: Db) => {
        isRetry = (await db.row<{ stored: boolean }>(CHECK_ONCE, [...values, key], 'check_guards_once'))!.stored;
        return work(db);
      };
      // without the key, which the work has stored
      return transaction(
        'begin',
        guardedWork,
        async (db) => isRetry || db.row(ASSERT_GUARDS, [...values, null], 'assert_guards'),
      );
    };
    return {
      id,
      ...rowCheckerOf(onSkipped),
      call,
      lookUp: <Row>(query: LookUp, rowId: string, values: unknown[]) =>
        lookUp(JSON.stringify([id, query.name, values]), rowId, async (ids) => {
          const rows = await call<Record<string, unknown>>(query.text, [id, ids, ...values], query.name);
          return new Map(rows.map((row) => [row[query.id] as string, row]));
        }) as Promise<Row | undefined>,
      read: (work) => transaction('begin read only', work),
      snapshot: (work) => transaction('begin isolation level repeatable read read only', work),
      write,
      commit: (unit) => commit(id, guards ? withGuards(unit, guards) : unit),
      change: async (text, values) => {
        const rows = guards
          ? await retryDeadlocks(() =>
              pool.using((client) => changeGuarded(pool, client, [id, JSON.stringify(guards), key], text, values), id),
            )
          : await call<CommitRow>(text, values);
        const last = lastWritten(rows);
        if (last !== undefined) onCommitted(id, last);
        return toOutcome(rows[0]!);
      },
      guarded: (more, hash = key) => tenantOf(id, { ...guards, ...more }, hash),
      check: async () => {
        if (guards) await call(CHECK_GUARDS, [id, JSON.stringify(guards), key], 'check_guards');
      },
    };
  };
  return (id) => tenantOf(id);
}

const ASSERT_GUARDS = 'select assert_guards($1, $2, $3)';
const CHECK_ONCE = 'select check_guards_once($1, $2, $3) as stored';
const CHECK_GUARDS = 'select check_guards($1, $2, $3)';

/**
 * Runs a statement in a transaction that begins with its guards, which lock the clock. All is sent at once, so that the clock is not locked while an
 * answer travels. A statement after one that failed does nothing.
 */
async function changeGuarded(
  pool: Pool,
  client: pg.PoolClient,
  guards: unknown[],
  text: string,
  values: unknown[],
): Promise<CommitRow[]> {
  const db = dbOf(client, pool.named);
  const begun = Promise.all([client.query('begin'), db.row(ASSERT_GUARDS, guards, 'assert_guards')]);
  const changed = db.rows<CommitRow>(text, values);
  const ended = client.query('commit');
  const [guarded, change, end] = await Promise.allSettled([begun, changed, ended]);
  if (end.status === 'fulfilled' && end.value.command !== 'COMMIT') markRolledBack(client);
  for (const step of [guarded, change, end]) if (step.status === 'rejected') throw step.reason;
  if (end.status === 'fulfilled' && end.value.command !== 'COMMIT') throw new CommitRefused();
  return (change as PromiseFulfilledResult<CommitRow[]>).value;
}

/** Waits for all, then throws the first error. */
async function allDone<A, B>(steps: [Promise<A>, Promise<B>]): Promise<[A, B]> {
  await Promise.allSettled(steps);
  return Promise.all(steps);
}

async function inTransaction<T>(
  pool: Pool,
  client: pg.PoolClient,
  { id, begin, onSkipped }: { id: string; begin: string; onSkipped: OnSkipped },
  work: (db: Db) => Promise<T>,
  last: (db: Db) => Promise<unknown> = async () => undefined,
): Promise<T> {
  const opening = pool.pipelined
    ? Promise.all([client.query(begin), client.query('select enter_tenant($1)', [id])])
    : client.query(begin).then(() => client.query('select enter_tenant($1)', [id]));
  try {
    // Pipelined, the first statement of the work travels with the opening ones; it runs after them or not at all.
    if (pool.pipelined) opening.catch(() => undefined);
    else await opening;
    const db = dbOf(client, pool.named, onSkipped);
    const result = await work(db);
    await opening;
    // sent at once, so that what the last statement locks is not held while an answer travels
    const [, { command }] = await allDone([last(db), client.query('commit')]);
    if (command !== 'COMMIT') throw new CommitRefused();
    return result;
  } catch (error) {
    // The first error is the one that counts; a connection that cannot even roll back is destroyed by its lender.
    await client.query('rollback').then(
      () => markRolledBack(client),
      () => undefined,
    );
    throw error;
  }
}
