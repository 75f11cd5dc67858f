import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Tenant, Tenants } from '../db/tenant.ts';
import { Problem } from '../http/problem.ts';
import { newId } from '../id.ts';
import type { Seal } from '../seal.ts';
import { type Credentials, openCredentials } from './credentials.ts';
import { unguarded } from './key_guard.ts';
import { type Hasher, type HashSlot, openHasher, requirePassword } from './passwords.ts';
import { type Principal, type RateLimit, type Role, unauthenticated } from './principal.ts';
import { deriveSuccessor, makeSecret, readSecret, type Secret } from './secrets.ts';
import {
  type Attempt,
  applyReset,
  beginLogin,
  checkAdmission,
  endSession,
  findReset,
  finishLogin,
  type Identity,
  type NewSession,
  registerUser,
  rotateRefreshToken,
} from './sql.ts';
import { type ThrottleKeys, throttleKeys } from './throttle.ts';
import { openTokens, type Tokens } from './tokens.ts';

/** The fields have the names of the service's settings. */
export interface AuthSettings {
  JWT_SECRET: string;
  JWT_SECRET_NEXT?: string | undefined;
  JWT_SECRET_PREVIOUS?: string | undefined;
  JWT_ISSUER: string;
  JWT_AUDIENCE: string;
  JWT_EXPIRES_IN: number;
  REFRESH_EXPIRES_IN: number;
  REGISTRATION: 'open' | 'closed';
  BCRYPT_COST: number;
  BCRYPT_CONCURRENCY: number;
  BCRYPT_QUEUE: number;
  CREDENTIAL_TTL_MS: number;
  MAX_TENANT_BYTES: number;
  RATE_LIMIT_ENABLED: boolean;
  RATE_LIMIT_WINDOW_MS: number;
  RATE_LIMIT_MAX_REQUESTS: number;
  RATE_LIMIT_TENANT_MAX: number;
}

type LimitSettings = Pick<
  AuthSettings,
  'RATE_LIMIT_ENABLED' | 'RATE_LIMIT_WINDOW_MS' | 'RATE_LIMIT_MAX_REQUESTS' | 'RATE_LIMIT_TENANT_MAX'
>;

export const tenantLimitOf = (settings: LimitSettings): RateLimit => ({
  max: settings.RATE_LIMIT_TENANT_MAX,
  window_ms: settings.RATE_LIMIT_WINDOW_MS,
});

/** Returns the rate limit of a principal on /v1; null: unlimited. */
export function allowanceOf({ rate_limit }: Principal, settings: LimitSettings): RateLimit | null {
  if (!settings.RATE_LIMIT_ENABLED) return null;
  return rate_limit ?? { max: settings.RATE_LIMIT_MAX_REQUESTS, window_ms: settings.RATE_LIMIT_WINDOW_MS };
}

export interface Login {
  tenants: Tenants;
  tokens: Tokens;
  hasher: Hasher;
  credentials: Credentials;
  /** Undefined in production if no key is configured; then no key can sign its requests. */
  seal: Seal | undefined;
  settings: AuthSettings;
}

export function openLogin(
  settings: AuthSettings,
  tenants: Tenants,
  guard = unguarded,
  seal?: Seal,
  onInvalidated: (tenant_id: string) => void = () => undefined,
): Login {
  const tokens = openTokens({
    active: settings.JWT_SECRET,
    next: settings.JWT_SECRET_NEXT,
    previous: settings.JWT_SECRET_PREVIOUS,
    issuer: settings.JWT_ISSUER,
    audience: settings.JWT_AUDIENCE,
    lifetime_s: settings.JWT_EXPIRES_IN,
  });
  return {
    tenants,
    tokens,
    hasher: openHasher(settings.BCRYPT_COST, settings.BCRYPT_CONCURRENCY, settings.BCRYPT_QUEUE),
    credentials: openCredentials(tenants, tokens, settings.CREDENTIAL_TTL_MS, guard, seal, onInvalidated),
    seal,
    settings,
  };
}

/** The client of a login, as the list of sessions shows it. */
export interface Origin {
  address: string;
  req: Pick<IncomingMessage, 'headers'>;
}

export interface Registration {
  username: string;
  password: string;
  tenant_id: string;
  email?: string | undefined;
  invite?: string | undefined;
}

/** `open`: whether a new tenant may be created. The password is hashed only after admission was checked, so a refusal stays cheap. */
export async function register(login: Login, registration: Registration, origin: Origin, open: boolean) {
  requirePassword(registration.password, registration.username, 'password');
  const invite = registration.invite === undefined ? null : readSecret('inv', registration.invite);
  if (invite === undefined || (invite && invite.tenant_id !== registration.tenant_id)) throw uninvited();
  const tenant = login.tenants(registration.tenant_id);
  assertAdmitted(await checkAdmission(tenant, open, invite, registration.username));
  const password_hash = await login.hasher.hash(registration.password);
  const session = newSession(login, tenant.id, origin);
  const user = { user_id: newId('usr'), username: registration.username, email: registration.email ?? null, password_hash };
  const { status, role, generation } = await registerUser(
    tenant,
    open,
    invite,
    user,
    session,
    login.settings.MAX_TENANT_BYTES || null,
  );
  assertAdmitted(status);
  return tokenPairOf(login, tenant, { ...user, role, generation }, session.session_id, session.token);
}

const uninvited = () => new Problem('forbidden', 'Registration requires a valid invite.');

function assertAdmitted(status: 'ok' | 'taken' | 'refused'): void {
  if (status === 'refused') throw uninvited();
  if (status === 'taken') throw new Problem('conflict', 'The username is already taken.');
}

export async function logIn(login: Login, submitted: { username: string; password: string; tenant_id: string }, origin: Origin) {
  const tenant = login.tenants(submitted.tenant_id);
  const { attempt, keys, newHash } = await login.hasher.withSlot(async (slot) => {
    const proof = await verifyPassword(slot, tenant, submitted, origin.address, wrongLogin);
    const outdated = login.hasher.outdated(proof.attempt.password_hash!);
    return { ...proof, newHash: outdated ? await slot.hash(submitted.password) : null };
  });
  const session = newSession(login, tenant.id, origin);
  const identity = await finishLogin(tenant, attempt, newHash, session, keys);
  if (!identity) throw wrongLogin();
  return tokenPairOf(login, tenant, identity, session.session_id, session.token);
}

const wrongLogin = () => unauthenticated('The tenant, the username or the password is wrong.');

// The database folds the case of more letters than JavaScript: `İnes` would be throttled separately from `ines` but match the same user.
const POSSIBLE_USERNAME = /^[\x21-\x7e]+$/;
const NO_USERNAME = '';

/** Counts the attempt before the password is verified. During a backoff no hash is computed. */
export async function verifyPassword(
  slot: HashSlot,
  tenant: Tenant,
  submitted: { username: string; password: string },
  address: string,
  refusal: () => Problem,
): Promise<{ attempt: Attempt; keys: ThrottleKeys }> {
  const keys = throttleKeys(tenant.id, submitted.username, address);
  const attempt = await beginLogin(tenant, POSSIBLE_USERNAME.test(submitted.username) ? submitted.username : NO_USERNAME, keys);
  if (attempt.wait_s > 0)
    throw new Problem('rate-limited', `Too many failed logins; try again in ${attempt.wait_s} s.`, {
      headers: { 'Retry-After': String(attempt.wait_s) },
    });
  if (!(await slot.verify(submitted.password, attempt.password_hash))) throw refusal();
  return { attempt, keys };
}

export async function refresh(login: Login, text: string) {
  const token = readSecret('ref', text);
  if (!token) throw wrongRefresh();
  const tenant = login.tenants(token.tenant_id);
  const nonce = randomBytes(16);
  const child = deriveSuccessor(token, newId('ref'), nonce);
  const rotation = await rotateRefreshToken(tenant, token, child, nonce, login.settings.REFRESH_EXPIRES_IN);
  if (rotation.status === 'reuse') login.credentials.invalidate(tenant.id);
  if (rotation.status === 'reuse' || rotation.status === 'refused') throw wrongRefresh();
  return tokenPairOf(login, tenant, rotation, rotation.session_id, deriveSuccessor(token, rotation.child, rotation.nonce));
}

const wrongRefresh = () => unauthenticated('The refresh token is invalid, expired or revoked.');

/** Returns the id of the session that was ended. An unknown token gets the same response, because there is nothing to end. */
export async function logOut(login: Login, text: string): Promise<string | undefined> {
  const token = readSecret('ref', text);
  const session_id = token && (await endSession(login.tenants(token.tenant_id), token));
  if (session_id) login.credentials.invalidate(token.tenant_id);
  return session_id;
}

/** Returns the id of the user whose password was set. */
export async function resetPassword(login: Login, text: string, password: string): Promise<string> {
  const token = readSecret('rst', text);
  const tenant = token && login.tenants(token.tenant_id);
  const user = token && tenant && (await findReset(tenant, token));
  if (!user) throw wrongReset();
  requirePassword(password, user.username, 'new_password');
  const hash = await login.hasher.hash(password);
  if (!(await applyReset(tenant!, token!, hash))) throw wrongReset();
  login.credentials.invalidate(tenant!.id);
  return user.user_id;
}

const wrongReset = () => unauthenticated('The token is invalid, expired or already used.');

const newSession = (login: Login, tenant_id: string, { address, req }: Origin): NewSession => ({
  session_id: newId('ses'),
  token: makeSecret('ref', tenant_id),
  user_agent: req.headers['user-agent']?.slice(0, 200).toWellFormed().replaceAll('\u0000', '') ?? null,
  address,
  ttl_s: login.settings.REFRESH_EXPIRES_IN,
});

function tokenPairOf(login: Login, tenant: Tenant, identity: Identity, session_id: string, token: Secret) {
  const { user_id, username, role, generation } = identity;
  return {
    access_token: login.tokens.sign({ sub: user_id, tid: tenant.id, role: role as Role, sid: session_id, ver: generation }),
    refresh_token: token.text,
    token_type: 'Bearer' as const,
    expires_in: login.tokens.lifetime_s,
    user: { user_id, tenant_id: tenant.id, username, role },
  };
}
