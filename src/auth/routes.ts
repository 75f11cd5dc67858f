import { inviteRoutes } from './invites.ts';
import { keyRoutes } from './keys.ts';
import { type Login, logIn, logOut, refresh, register, resetPassword } from './login.ts';
import { meRoutes } from './me.ts';
import { openRoute } from './principal.ts';
import { loginBody, refreshBody, registerBody, resetBody, tokenPair } from './schemas.ts';
import { type Kind, readSecret } from './secrets.ts';
import { userRoutes } from './users.ts';

const badBody = ['malformed-json', 'impossible-text', 'validation'] as const;
const MAX_BODY_BYTES = 16_384;

/** Settings of the routes without authentication: limited by address and by body size. */
const open = { tag: 'Authentication', access: 'none', limit: 'auth', maxBytes: MAX_BODY_BYTES } as const;

export const authRoutes = (login: Login) => [
  ...openRoutes(login),
  ...tokenRoutes(login),
  ...meRoutes(login),
  ...userRoutes(login),
  ...inviteRoutes(),
  ...keyRoutes(login),
];

/** Returns the tenant that a secret belongs to. */
const tenantOfSecret = (kind: Kind, text: string) => readSecret(kind, text)?.tenant_id;
const tenantNamed = ({ tenant_id }: { tenant_id: string }) => tenant_id;

const openRoutes = (login: Login) => [
  openRoute({
    ...open,
    method: 'POST',
    path: '/auth/register',
    operation: 'register',
    summary: 'Create a tenant, or join one with an invite',
    description: 'The user who creates a tenant is its owner.',
    body: registerBody,
    unredactable: ['username', 'email', 'tenant_id'],
    audit: 'user.registered',
    tenantOf: tenantNamed,
    success: { status: 201, description: 'The user was registered and is logged in', schema: tokenPair },
    problems: [...badBody, 'forbidden', 'conflict', 'rate-limited', 'unavailable'],
    handle: async ({ body, address, req }) => {
      const created = await register(login, body, { address, req }, login.settings.REGISTRATION === 'open');
      return {
        body: created,
        audit: { user_id: created.user.user_id, username: created.user.username, role: created.user.role },
      };
    },
  }),
  openRoute({
    ...open,
    method: 'POST',
    path: '/auth/login',
    operation: 'logIn',
    summary: 'Log in with a password',
    body: loginBody,
    audit: 'session.begun',
    tenantOf: tenantNamed,
    success: { status: 200, description: 'An access token and a refresh token', schema: tokenPair },
    problems: [...badBody, 'unauthenticated', 'rate-limited', 'unavailable'],
    handle: async ({ body, address, req }) => {
      const created = await logIn(login, body, { address, req });
      return { body: created, audit: { user_id: created.user.user_id, username: created.user.username } };
    },
  }),
];

/** Routes that are authenticated by a secret in the body. */
const tokenRoutes = (login: Login) => [
  openRoute({
    ...open,
    method: 'POST',
    path: '/auth/refresh',
    operation: 'refresh',
    summary: 'Exchange a refresh token for new tokens',
    description:
      'Concurrent requests with the same refresh token succeed for 10 seconds. Reuse after that time ends the session.',
    body: refreshBody,
    // the login that began the session was audited; reuse of a stolen token is audited as a refusal
    audit: false,
    tenantOf: ({ refresh_token }: { refresh_token: string }) => tenantOfSecret('ref', refresh_token),
    success: { status: 200, description: 'A new access token and refresh token', schema: tokenPair },
    problems: [...badBody, 'unauthenticated', 'rate-limited'],
    handle: async ({ body }) => ({ body: await refresh(login, body.refresh_token) }),
  }),
  openRoute({
    ...open,
    method: 'POST',
    path: '/auth/logout',
    operation: 'logOut',
    summary: 'Log out',
    description: 'Ends the session of the refresh token.',
    body: refreshBody,
    audit: 'session.ended',
    tenantOf: ({ refresh_token }: { refresh_token: string }) => tenantOfSecret('ref', refresh_token),
    success: { status: 204, description: 'The session has ended, if it existed' },
    problems: [...badBody, 'rate-limited'],
    handle: async ({ body }) => {
      const session_id = await logOut(login, body.refresh_token);
      return session_id === undefined ? {} : { audit: { session_id } };
    },
  }),
  openRoute({
    ...open,
    method: 'POST',
    path: '/auth/password-reset',
    operation: 'resetPassword',
    summary: 'Set a new password with a reset token',
    description: 'Ends all sessions of the user.',
    body: resetBody,
    audit: 'password.reset',
    tenantOf: ({ token }: { token: string }) => tenantOfSecret('rst', token),
    success: { status: 204, description: 'The password was set, and all sessions of the user have ended' },
    problems: [...badBody, 'unauthenticated', 'rate-limited', 'unavailable'],
    handle: async ({ body }) => {
      return { audit: { user_id: await resetPassword(login, body.token, body.new_password) } };
    },
  }),
];
