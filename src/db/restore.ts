import type pg from 'pg';
import type { Pool } from './pool.ts';

// After a restore, the database serves no requests until the erasures made since the backup have been replayed (docs/backup.md).

/** The message tells the operator what to do. */
class UnconfirmedRestore extends Error {
  readonly code = 'unconfirmed_restore';
  constructor() {
    super(
      'The database was restored from a backup, or moved to another server, and data erased since the backup may be back. Run ' +
        '`npm run erasures:replay -- --ledger FILE…` with the ledgers of all daemons (`-- --no-ledger` if nothing was ever erased), then start again.',
    );
    this.name = 'Unconfirmed';
  }
}

/** Throws if a restore has not been confirmed. Runs on each new connection, because the host name may point to another database by then. */
export async function assertConfirmed(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ confirmed: boolean }>('select is_confirmed() as confirmed');
  if (!rows[0]?.confirmed) throw new UnconfirmedRestore();
}

/** Confirms that the erasures were replayed, or that there are none. */
export const confirmRestore = (pool: Pool): Promise<unknown> => pool.using((client) => client.query('select confirm_restore()'));

/** For scripts/restore.sh: requires a confirmation, regardless of what the dump contains. */
export const awaitReplay = (client: pg.ClientBase): Promise<unknown> => client.query('select await_replay()');
