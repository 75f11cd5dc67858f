import type pg from 'pg';
import type { SkippedRow } from '../readable.ts';
import { type CommitRow, lastWritten, toOutcome } from './commit.ts';
import { createLookUps } from './look_up.ts';
import { markClean, type Pool } from './pool.ts';
import { type Db, dbOf, type OnSkipped, type RowChecker, rowCheckerOf } from './query.ts';
import type { Outcome, Unit } from './unit.ts';

/** All access to one tenant's rows. There is no other way to the database for a request. */
export interface Tenant extends RowChecker {
  readonly id: string;
  /** One statement in one round trip, through a function that starts with `enter_tenant`. `name` prepares it. */
  call<Row>(text: string, values: unknown[], name?: string): Promise<Row[]>;
  /**
   * The row with this id. The statement, of the kind that `call` takes, gets the tenant, a list of ids and `values`; look-ups that are
   * equal but for the id share a round trip.
   */
  lookUp<Row>(query: LookUp, id: string, values: unknown[]): Promise<Row | undefined>;
  /** A read-only transaction. Everything inside goes through the given `db`: on one connection a second would wait for ever. */
  read<T>(work: (db: Db) => Promise<T>): Promise<T>;
  /** A read-only transaction in which every statement sees the same moment. Short: its snapshot holds up vacuum. */
  snapshot<T>(work: (db: Db) => Promise<T>): Promise<T>;
  /** A short transaction. Nothing slow (HTTP, bcrypt, embedding) belongs inside. */
  write<T>(work: (db: Db) => Promise<T>): Promise<T>;
  /** Appends to the log through the tenant's write queue. */
  commit(unit: Unit): Promise<Outcome>;
  /**
   * One statement that calls a function which locks the clock, checks, writes one unit through commit_units and changes its view:
   * for what is rarer than appends. It answers with the columns of commit_units, one row.
   */
  change(text: string, values: unknown[]): Promise<Outcome>;
}

interface LookUp {
  text: string;
  name: string;
  /** The column that holds the id. */
  id: string;
}

export type Tenants = (id: string) => Tenant;

/** COMMIT of an aborted transaction answers ROLLBACK without an error: what looked done was not. */
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
  onSkipped: (tenant: string, row: SkippedRow) => void,
): Tenants {
  const lookUp = createLookUps<unknown>();
  return (id) => {
    const told: OnSkipped = (row) => onSkipped(id, row);
    const call = <Row>(text: string, values: unknown[], name?: string) =>
      pool.using((client) => dbOf(client, pool.named, told).rows<Row>(text, values, name), id);
    const transaction = <T>(begin: string, work: (db: Db) => Promise<T>) =>
      pool.using((client) => inTransaction(pool, client, { id, begin, told }, work), id);
    return {
      id,
      ...rowCheckerOf(told),
      call,
      lookUp: <Row>(query: LookUp, wanted: string, values: unknown[]) =>
        lookUp(JSON.stringify([id, query.name, values]), wanted, async (ids) => {
          const rows = await call<Record<string, unknown>>(query.text, [id, ids, ...values], query.name);
          return new Map(rows.map((row) => [row[query.id] as string, row]));
        }) as Promise<Row | undefined>,
      read: (work) => transaction('begin read only', work),
      snapshot: (work) => transaction('begin isolation level repeatable read read only', work),
      write: (work) => transaction('begin', work),
      commit: (unit) => commit(id, unit),
      change: async (text, values) => {
        const rows = await pool.using((client) => dbOf(client, pool.named).rows<CommitRow>(text, values), id);
        const last = lastWritten(rows);
        if (last !== undefined) onCommitted(id, last);
        return toOutcome(rows[0]!);
      },
    };
  };
}

async function inTransaction<T>(
  pool: Pool,
  client: pg.PoolClient,
  { id, begin, told }: { id: string; begin: string; told: OnSkipped },
  work: (db: Db) => Promise<T>,
): Promise<T> {
  const opening = pool.pipelined
    ? Promise.all([client.query(begin), client.query('select enter_tenant($1)', [id])])
    : client.query(begin).then(() => client.query('select enter_tenant($1)', [id]));
  try {
    // Pipelined, the first statement of the work travels with the opening ones; it runs after them or not at all.
    if (pool.pipelined) opening.catch(() => undefined);
    else await opening;
    const result = await work(dbOf(client, pool.named, told));
    await opening;
    const { command } = await client.query('commit');
    if (command !== 'COMMIT') throw new CommitRefused();
    return result;
  } catch (error) {
    // The first error is the one that counts; a connection that cannot even roll back is destroyed by its lender.
    await client.query('rollback').then(
      () => markClean(client),
      () => undefined,
    );
    throw error;
  }
}
