import type pg from 'pg';
import type { Pool } from './pool.ts';

// After a restore the database stays closed until the erasures that the backup does not know of were replayed (docs/backup.md).

/** The message says what to do. */
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

/** Where data of a restore is not confirmed, nothing is served. Asked on each new connection: another database may be behind the same name. */
export async function assertConfirmed(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ confirmed: boolean }>('select is_confirmed() as confirmed');
  if (!rows[0]?.confirmed) throw new UnconfirmedRestore();
}

/** The erasures were replayed, or there are none. */
export const confirmRestore = (pool: Pool): Promise<unknown> => pool.using((client) => client.query('select confirm_restore()'));

/** For scripts/restore.sh: whatever the dump says of its place, a restore is to be confirmed. */
export const awaitReplay = (client: pg.ClientBase): Promise<unknown> => client.query('select await_replay()');
