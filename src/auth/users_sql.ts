import type { Db } from '../db/query.ts';
import type { Sweep } from '../db/sweep.ts';
import type { Role } from './principal.ts';
import type { Invite, User } from './schemas.ts';
import type { Secret } from './secrets.ts';
import type { ThrottleKeys } from './throttle.ts';
import { FREE_PER_ADDRESS } from './throttle.ts';

// Statements on users, sessions, invites and password resets, within a transaction of the tenant.

const userColumns = 'user_id, username, email, role, subject, disabled_at is not null as disabled, created_at';
const inviteColumns = 'invite_id, role, username, created_by, created_at, expires_at, used_at, used_by';
/** Limit of unused invites per tenant, so that creating invites cannot fill the storage. */
const MAX_OPEN_INVITES = 1000;

export const listUsers = (db: Db, tenant_id: string, after: string, limit: number): Promise<User[]> =>
  db.rows(`select ${userColumns} from users where tenant_id = $1 and user_id > $2 order by user_id limit $3`, [
    tenant_id,
    after,
    limit,
  ]);

export const findEnabledUser = (db: Db, tenant_id: string, username: string): Promise<User | undefined> =>
  db.row(`select ${userColumns} from users where tenant_id = $1 and lower(username) = lower($2) and disabled_at is null`, [
    tenant_id,
    username,
  ]);

/** Locks the owners first and in a fixed order, so that two owners cannot demote each other at the same time. */
export async function lockUser(
  db: Db,
  tenant_id: string,
  user_id: string,
): Promise<{ user: User | undefined; owners: string[] }> {
  const owners = await db.rows<{ user_id: string }>(
    `select user_id from users where tenant_id = $1 and role = 'owner' and disabled_at is null order by user_id for update`,
    [tenant_id],
  );
  const user = await db.row<User>(`select ${userColumns} from users where tenant_id = $1 and user_id = $2 for update`, [
    tenant_id,
    user_id,
  ]);
  return { user, owners: owners.map((owner) => owner.user_id) };
}

/** Increments the generation of a user who gets disabled, so that old access tokens stay invalid after the user is enabled again. */
export const updateUser = (
  db: Db,
  tenant_id: string,
  user_id: string,
  role: Role,
  disabled: boolean,
): Promise<User | undefined> =>
  db.row(
    `update users set
       role = $3,
       generation = generation + (disabled_at is null and $4::boolean)::int,
       disabled_at = case when $4::boolean then coalesce(disabled_at, now()) end
     where tenant_id = $1 and user_id = $2
     returning ${userColumns}`,
    [tenant_id, user_id, role, disabled],
  );

/** Returns false if the password was changed concurrently. */
export async function changePassword(db: Db, tenant_id: string, user_id: string, from: string, to: string): Promise<boolean> {
  const touched = await db.run(
    'update users set password_hash = $4 where tenant_id = $1 and user_id = $2 and password_hash = $3',
    [tenant_id, user_id, from, to],
  );
  return touched === 1;
}

export const clearFailures = (db: Db, keys: ThrottleKeys) =>
  db.run('select clear_failures($1, $2, $3)', [keys.account, keys.address, FREE_PER_ADDRESS]);

export const listSessions = (db: Db, tenant_id: string, user_id: string, current: string) =>
  db.rows(
    `select session_id, user_agent, address, created_at, used_at, expires_at, session_id = $3 as current
     from sessions
     where tenant_id = $1 and user_id = $2 and revoked_at is null and expires_at > now()
     order by used_at desc, session_id
     limit 1000`,
    [tenant_id, user_id, current],
  );

export const endSessionById = (db: Db, tenant_id: string, user_id: string, session_id: string): Promise<number> =>
  db.run(
    `update sessions set revoked_at = now()
     where tenant_id = $1 and user_id = $2 and session_id = $3 and revoked_at is null and expires_at > now()`,
    [tenant_id, user_id, session_id],
  );

/** Ends all sessions of a user except the given one. */
export const endSessions = (db: Db, tenant_id: string, user_id: string, except: string | null): Promise<number> =>
  db.run(
    `update sessions set revoked_at = now()
     where tenant_id = $1 and user_id = $2 and session_id is distinct from $3 and revoked_at is null`,
    [tenant_id, user_id, except],
  );

/** Days for which an ended session is kept. */
const ENDED_DAYS = 7;
const ENDED = `least(s.expires_at, s.revoked_at) < now() - interval '1 day' * ${ENDED_DAYS}`;

/**
 * Deletes refresh tokens of ended sessions before the sessions themselves, because one session can have thousands. Rotated tokens of an
 * active session are kept, so that their reuse is detected.
 */
export const sweepRefreshTokens: Sweep = (tenant, limit) =>
  tenant.write((db) =>
    db.run(
      `delete from refresh_tokens
       where tenant_id = $1 and token_id in (
         select r.token_id from refresh_tokens r join sessions s on s.tenant_id = r.tenant_id and s.session_id = r.session_id
         where r.tenant_id = $1 and ${ENDED}
         limit $2)`,
      [tenant.id, limit],
    ),
  );

export const sweepSessions: Sweep = (tenant, limit) =>
  tenant.write((db) =>
    db.run(
      `delete from sessions
       where tenant_id = $1 and session_id in (
         select s.session_id from sessions s
         where s.tenant_id = $1 and ${ENDED}
           and not exists (select from refresh_tokens r where r.tenant_id = s.tenant_id and r.session_id = s.session_id)
         limit $2)`,
      [tenant.id, limit],
    ),
  );

export const sweepResets: Sweep = (tenant, limit) =>
  tenant.write((db) =>
    db.run(
      `delete from password_resets
       where tenant_id = $1 and reset_id in (
         select r.reset_id from password_resets r
         where r.tenant_id = $1 and least(r.expires_at, r.used_at) < now() - interval '1 day' * ${ENDED_DAYS}
         limit $2)`,
      [tenant.id, limit],
    ),
  );

export const sweepNonces: Sweep = async (tenant, limit) => {
  const [row] = await tenant.write((db) =>
    db.rows<{ count: number }>('select delete_stale_nonces($1, $2) as count', [tenant.id, limit]),
  );
  return row!.count;
};

/** Replaces earlier resets of the user. */
export async function insertReset(db: Db, tenant_id: string, reset: Secret, user_id: string, created_by: string, ttl_s: number) {
  await db.run('delete from password_resets where tenant_id = $1 and user_id = $2', [tenant_id, user_id]);
  const row = await db.row<{ expires_at: string }>(
    `insert into password_resets (tenant_id, reset_id, user_id, secret_hash, created_by, expires_at)
     values ($1, $2, $3, $4, $5, now() + interval '1 second' * $6::int)
     returning expires_at`,
    [tenant_id, reset.id, user_id, reset.hash, created_by, ttl_s],
  );
  return row!.expires_at;
}

export interface NewInvite {
  role: Role;
  username: string | null;
  expires_in: number;
  created_by: string;
}

/** Returns undefined if the tenant has too many unused invites. Also deletes invites that expired more than 30 days ago. */
export async function insertInvite(db: Db, tenant_id: string, secret: Secret, invite: NewInvite): Promise<Invite | undefined> {
  await db.run(`delete from invites where tenant_id = $1 and expires_at < now() - interval '30 days'`, [tenant_id]);
  return db.row(
    `insert into invites (tenant_id, invite_id, secret_hash, role, username, created_by, expires_at)
     select $1, $2, $3, $4, $5, $6, now() + interval '1 second' * $7::int
     where (select count(*) from invites where tenant_id = $1 and used_at is null) < ${MAX_OPEN_INVITES}
     returning ${inviteColumns}`,
    [tenant_id, secret.id, secret.hash, invite.role, invite.username, invite.created_by, invite.expires_in],
  );
}

export const listInvites = (db: Db, tenant_id: string, after: string, limit: number): Promise<Invite[]> =>
  db.rows(`select ${inviteColumns} from invites where tenant_id = $1 and invite_id > $2 order by invite_id limit $3`, [
    tenant_id,
    after,
    limit,
  ]);

export const deleteInvite = (db: Db, tenant_id: string, invite_id: string): Promise<number> =>
  db.run('delete from invites where tenant_id = $1 and invite_id = $2', [tenant_id, invite_id]);
