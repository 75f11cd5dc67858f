import type { IncomingMessage } from 'node:http';
import type { Tenants } from '../db/tenant.ts';
import { readExamples } from '../examples.ts';
import type { Feature } from '../feature.ts';
import type { Seal } from '../seal.ts';
import type { Admission, CredentialKind } from './credentials.ts';
import { isolation } from './isolation.ts';
import { openKeyGuard } from './key_guard.ts';
import { type AuthSettings, type Login, openLogin } from './login.ts';
import type { Caller, Identity } from './principal.ts';
import { authRoutes } from './routes.ts';
import { sweepNonces, sweepRefreshTokens, sweepResets, sweepSessions } from './users_sql.ts';

export * from './behalf.ts';
export { type CredentialKind, claimedIdentityOf, hasCredential } from './credentials.ts';
export { assertPerson } from './grants.ts';
export { logOut, openLogin, register } from './login.ts';
export * from './principal.ts';
export { isAdminNow } from './sql.ts';
export { openStateCache } from './state_cache.ts';
export { networkOf } from './throttle.ts';
export { findPrincipal, makeOperatorReset } from './users.ts';
export * from './visibility.ts';

export interface Auth {
  /** Returns the caller of a request. Throws `unauthenticated`. */
  identify(req: IncomingMessage): Promise<Caller>;
  /** Returns the caller with an identity that was established otherwise. Throws if it may not act at present. */
  callerOf(identity: Identity): Promise<Caller>;
  /** Drops the cached states of a tenant's credentials. */
  invalidate(tenant_id: string): void;
  /** Adds a kind of bearer credentials. */
  accept(kind: CredentialKind): void;
  /** Adds a condition of every request: see Admission. */
  admit(condition: Admission): void;
  /** The services that the routes use. */
  login: Login;
}

export const feature: Feature = {
  routes: ({ auth }) => authRoutes(auth.login),
  sweeps: () => [sweepRefreshTokens, sweepSessions, sweepResets, sweepNonces],
  figures: ({ metrics }) => {
    for (const problem of ['unauthenticated', 'rate-limited']) metrics.countProblem('/auth/login', problem, 0);
  },
  prefixes: { usr: 'free', ses: 'free', key: 'free', ref: 'free', inv: 'free', rst: 'free' },
  audit: [
    'user.registered',
    'user.changed',
    'user.reset_made',
    'session.begun',
    'session.ended',
    'password.changed',
    'password.reset',
    'invite.made',
    'invite.deleted',
    'key.made',
    'key.revoked',
  ],
  isolation,
  tags: {
    Authentication: 'Registration, login, sessions and passwords.',
    Users: 'Users of the tenant, and invites for new ones.',
    'API keys': 'Credentials for programs.',
  },
  examples: () => readExamples(import.meta.dirname),
};

interface AuthNeeds {
  /** The address by which failed key lookups are counted; without it they are not counted. */
  addressOf?: ((req: IncomingMessage) => string) | undefined;
  /** Encrypts the secrets of signed keys; without it there can be none. */
  seal?: Seal | undefined;
  /** Called with each tenant whose cached credentials were dropped on this daemon. */
  onInvalidated(tenant_id: string): void;
}

export function openAuth(settings: AuthSettings, tenants: Tenants, { addressOf, seal, onInvalidated }: AuthNeeds): Auth {
  const login = openLogin(settings, tenants, addressOf && openKeyGuard(addressOf), seal, onInvalidated);
  const { identify, callerOf, invalidate, accept, admit } = login.credentials;
  return { identify, callerOf, invalidate, accept, admit, login };
}
