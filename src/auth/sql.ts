import type { Tenant } from '../db/tenant.ts';
import type { Sealed } from '../seal.ts';
import type { Channel, RateLimit, Role, Scope } from './principal.ts';
import type { Secret } from './secrets.ts';
import { FREE_PER_ACCOUNT, FREE_PER_ADDRESS, type ThrottleKeys } from './throttle.ts';

// Log-in, sessions and the states of credentials. Each is one round trip to a function in functions.sql.

/** A new session and its first refresh token. */
export interface NewSession {
  session_id: string;
  token: Secret;
  user_agent: string | null;
  address: string;
  ttl_s: number;
}

const sessionJson = ({ session_id, token, user_agent, address, ttl_s }: NewSession) =>
  JSON.stringify({ session_id, token_id: token.id, token_hash: token.hash.toString('hex'), user_agent, address, ttl_s });

export interface Attempt {
  /** Seconds until the next attempt is allowed. If it is not 0, the other fields are null. */
  wait_s: number;
  user_id: string | null;
  username: string | null;
  password_hash: string | null;
}

export async function beginLogin(tenant: Tenant, username: string, keys: ThrottleKeys): Promise<Attempt> {
  const [attempt] = await tenant.call<Attempt>(
    'select wait_s, user_id, username, password_hash from begin_login($1, $2, $3, $4, $5, $6)',
    [tenant.id, username, keys.account, keys.address, FREE_PER_ACCOUNT, FREE_PER_ADDRESS],
  );
  return attempt!;
}

export interface Identity {
  user_id: string;
  username: string;
  role: Role;
  generation: number;
}

/** Returns undefined if the user was disabled or changed the password while this attempt was verified. */
export async function finishLogin(
  tenant: Tenant,
  attempt: Attempt,
  newHash: string | null,
  session: NewSession,
  keys: ThrottleKeys,
): Promise<Identity | undefined> {
  const [identity] = await tenant.call<Identity>(
    'select user_id, username, role, generation from finish_login($1, $2, $3, $4, $5, $6, $7, $8)',
    [
      tenant.id,
      attempt.user_id,
      attempt.password_hash,
      newHash,
      sessionJson(session),
      keys.account,
      keys.address,
      FREE_PER_ADDRESS,
    ],
  );
  return identity;
}

export type Admission = 'ok' | 'taken' | 'refused';

export async function checkAdmission(tenant: Tenant, open: boolean, invite: Secret | null, username: string): Promise<Admission> {
  const [row] = await tenant.call<{ admission: Admission }>('select may_register($1, $2, $3, $4, $5) as admission', [
    tenant.id,
    open,
    invite?.id,
    invite?.hash,
    username,
  ]);
  return row!.admission;
}

export interface NewUser {
  user_id: string;
  username: string;
  email: string | null;
  password_hash: string;
}

export interface Registered {
  status: Admission;
  role: Role;
  generation: number;
}

/** `max_bytes`: storage quota of a new tenant; null: unlimited. */
export async function registerUser(
  tenant: Tenant,
  open: boolean,
  invite: Secret | null,
  user: NewUser,
  session: NewSession,
  max_bytes: number | null,
): Promise<Registered> {
  const [row] = await tenant.call<Registered>('select status, role, generation from register_user($1, $2, $3, $4, $5, $6, $7)', [
    tenant.id,
    open,
    invite?.id,
    invite?.hash,
    JSON.stringify(user),
    sessionJson(session),
    max_bytes,
  ]);
  return row!;
}

export interface SessionState extends Identity {
  subject: string;
  expires_at: string;
}

export async function readSessionState(tenant: Tenant, session_id: string): Promise<SessionState | undefined> {
  const [state] = await tenant.call<SessionState>(
    'select user_id, username, role, subject, generation, expires_at from session_state($1, $2)',
    [tenant.id, session_id],
    'session_state',
  );
  return state;
}

export interface KeyState {
  secret_hash: Buffer;
  /** Null if the key does not sign its requests. */
  sealed_secret: Sealed | null;
  name: string;
  agent_id: string | null;
  rate_limit: RateLimit | null;
  role: Role;
  scopes: Scope[];
  subject: string;
  channels: Channel[] | null;
  created_by: string;
  expires_at: string | null;
}

/** `hash`: of the secret in the request, or null if it contains none. */
export async function readKeyState(tenant: Tenant, key_id: string, hash: Buffer | null): Promise<KeyState | undefined> {
  const [state] = await tenant.call<KeyState>(
    `select secret_hash, sealed_secret, name, agent_id, rate_limit, role, scopes, subject, channels, created_by, expires_at
     from api_key_state($1, $2, $3)`,
    [tenant.id, key_id, hash],
    'api_key_state',
  );
  return state;
}

/** Returns the id of the tenant of a signed key. */
export async function findSignedKey(anyTenant: Tenant, key_id: string): Promise<string | undefined> {
  const [row] = await anyTenant.call<{ tenant_id: string | null }>(
    'select find_signed_key($1) as tenant_id',
    [key_id],
    'find_signed_key',
  );
  return row!.tenant_id ?? undefined;
}

export async function claimNonce(tenant: Tenant, key_id: string, nonce: string): Promise<'claimed' | 'replayed' | 'refused'> {
  const [row] = await tenant.call<{ outcome: 'claimed' | 'replayed' | 'refused' }>(
    'select claim_nonce($1, $2, $3) as outcome',
    [tenant.id, key_id, nonce],
    'claim_nonce',
  );
  return row!.outcome;
}

/** Returns whether the principal with this id is currently an admin. */
export async function isAdminNow(tenant: Tenant, principal_id: string): Promise<boolean> {
  const [row] = await tenant.call<{ is: boolean }>('select is_admin_now($1, $2) as is', [tenant.id, principal_id]);
  return row!.is;
}

export interface Rotation extends Identity {
  status: 'rotated' | 'grace' | 'reuse' | 'refused';
  child: string;
  nonce: Buffer;
  session_id: string;
}

const GRACE_S = 10;

export async function rotateRefreshToken(
  tenant: Tenant,
  token: Secret,
  child: Secret,
  nonce: Buffer,
  ttl_s: number,
): Promise<Rotation> {
  const [row] = await tenant.call<Rotation>(
    `select status, child, nonce, session_id, user_id, username, role, generation
     from rotate_refresh_token($1, $2, $3, $4, $5, $6, $7, $8)`,
    [tenant.id, token.id, token.hash, nonce, child.id, child.hash, ttl_s, GRACE_S],
  );
  return row!;
}

/** Returns the id of the session that was ended, if there was one. */
export async function endSession(tenant: Tenant, token: Secret): Promise<string | undefined> {
  const [row] = await tenant.call<{ session_id: string | null }>('select end_session($1, $2, $3) as session_id', [
    tenant.id,
    token.id,
    token.hash,
  ]);
  return row!.session_id ?? undefined;
}

export async function findReset(tenant: Tenant, reset: Secret): Promise<{ user_id: string; username: string } | undefined> {
  const [row] = await tenant.call<{ user_id: string; username: string }>(
    'select user_id, username from valid_reset($1, $2, $3)',
    [tenant.id, reset.id, reset.hash],
  );
  return row;
}

/** Returns false if the reset was used, or the user disabled, while the password was hashed. */
export async function applyReset(tenant: Tenant, reset: Secret, password_hash: string): Promise<boolean> {
  const [row] = await tenant.call<{ done: boolean }>('select apply_reset($1, $2, $3, $4) as done', [
    tenant.id,
    reset.id,
    reset.hash,
    password_hash,
  ]);
  return row!.done;
}
