import type { Db } from '../db/query.ts';
import { type Fingerprint, FORMAT, type Manifest } from './schemas.ts';
import {
  BACKUP_ROLE,
  createRole,
  hasRole,
  listHiddenTables,
  readFingerprint,
  readSetting,
  readTarget,
  revokeCreate,
} from './sql.ts';

export { differences, rowDifferences, schemaMismatch } from './compare.ts';
export { countRows } from './rows.ts';
export { type Fingerprint, type Manifest, manifest } from './schemas.ts';

// Database access for backups; scripts/backup.sh and scripts/restore.sh call pg_dump and pg_restore. Each function needs a session of the
// owner, outside any tenant.

export interface Snapshot {
  /** For `pg_dump --snapshot`. */
  id: string;
  setting: Pick<Manifest, 'server' | 'database' | 'owner' | 'roles'>;
  fingerprint(): Promise<Fingerprint>;
}

/** Runs `work` in an exported snapshot, which pg_dump can use until `work` has ended. */
export async function withSnapshot<T>(db: Db, work: (snapshot: Snapshot) => Promise<T>): Promise<T> {
  await assertBackupRole(db);
  await db.run('begin isolation level repeatable read read only');
  try {
    await db.run('set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0');
    const hidden = await listHiddenTables(db);
    if (hidden.length > 0)
      throw new Error(`A dump would be incomplete: the role ${BACKUP_ROLE} does not see all rows of ${hidden.join(', ')}.`);
    const setting = await readSetting(db);
    await enterBackup(db);
    const { id } = (await db.row<{ id: string }>('select pg_export_snapshot() as id'))!;
    return await work({ id, setting, fingerprint: () => readFingerprint(db) });
  } finally {
    // Nothing was written. If the session died, the failed statement has reported it.
    await db.run('rollback').catch(() => undefined);
  }
}

export async function fingerprintOf(db: Db): Promise<Fingerprint> {
  await assertBackupRole(db);
  await db.run('begin isolation level repeatable read read only');
  try {
    await db.run('set local statement_timeout = 0');
    await enterBackup(db);
    return await readFingerprint(db);
  } finally {
    await db.run('rollback').catch(() => undefined);
  }
}

const enterBackup = (db: Db): Promise<unknown> => db.run("select set_config('role', $1, true)", [BACKUP_ROLE]);

async function assertBackupRole(db: Db): Promise<void> {
  if (!(await hasRole(db, BACKUP_ROLE)))
    throw new Error(`The role ${BACKUP_ROLE} is missing: bring the schema up to date first (\`npm run migrate -- up\`).`);
}

const majorOf = (server: number) => Math.floor(server / 10_000);

/** Returns why a backup cannot be restored into this database; undefined if it can. */
export async function targetProblem(db: Db, { owner, server }: Manifest): Promise<string | undefined> {
  const target = await readTarget(db);
  if (target.objects > 0)
    return `The database is not empty: it has ${target.objects} tables, functions and other objects. Restore into an empty one.`;
  if (target.others > 0)
    return `The database is in use by ${target.others} other sessions: stop the daemons (and psql) that are connected to it.`;
  if (majorOf(target.server) < majorOf(server))
    return `The server is PostgreSQL ${majorOf(target.server)}, but the backup was made on ${majorOf(server)}: restore on that version or a newer one.`;
  if (target.user !== owner)
    return `The backup belongs to the role ${owner}, but this connection uses the role ${target.user}: connect as ${owner} (PGUSER).`;
  return undefined;
}

/** Creates the roles that the dump refers to, because dumps do not contain roles. Roles of people are created without login and without password. */
export async function prepareTarget(db: Db, { roles }: Manifest): Promise<void> {
  await db.run('begin');
  for (const role of roles) await createRole(db, role);
  await db.run('commit');
}

/** Revokes what `prepareTarget` granted. To be called after the restore, successful or not. */
export const finishTarget = (db: Db): Promise<void> => revokeCreate(db);

export const newManifest = (
  version: string,
  snapshot: Snapshot['setting'],
  fingerprint: Fingerprint,
  migrations: Manifest['migrations'],
  dump: Manifest['dump'],
  now = new Date(),
): Manifest => ({ format: FORMAT, made_at: now.toISOString(), version, ...snapshot, migrations, dump, ...fingerprint });
