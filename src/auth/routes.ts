import { inviteRoutes } from './invites.ts';
import { keyRoutes } from './keys.ts';
import { type Login, logIn, logOut, refresh, register, resetPassword } from './login.ts';
import { meRoutes } from './me.ts';
import { openRoute } from './principal.ts';
import { loginBody, pair, refreshBody, registerBody, resetBody } from './schemas.ts';
import { userRoutes } from './users.ts';

const badBody = ['malformed-json', 'impossible-text', 'validation'] as const;
const MAX_BODY_BYTES = 16_384;

/** Of a call that anyone may make: counted by address, and small. */
const open = { tag: 'Authentication', access: 'none', limit: 'auth', maxBytes: MAX_BODY_BYTES } as const;

export const authRoutes = (login: Login) => [
  ...openRoutes(login),
  ...meRoutes(login),
  ...userRoutes(login),
  ...inviteRoutes(),
  ...keyRoutes(login),
];

const openRoutes = (login: Login) => [
  openRoute({
    ...open,
    method: 'POST',
    path: '/auth/register',
    operation: 'register',
    summary: 'Make a tenant and become its owner, or join one by invite',
    body: registerBody,
    success: { status: 201, description: 'Registered and logged in', schema: pair },
    problems: [...badBody, 'forbidden', 'conflict', 'rate-limited', 'unavailable'],
    handle: async ({ body, address, req }) => ({
      body: await register(login, body, { address, req }, login.settings.REGISTRATION === 'open'),
    }),
  }),
  openRoute({
    ...open,
    method: 'POST',
    path: '/auth/login',
    operation: 'logIn',
    summary: 'Log in with a password',
    body: loginBody,
    success: { status: 200, description: 'A pair of tokens', schema: pair },
    problems: [...badBody, 'unauthenticated', 'rate-limited', 'unavailable'],
    handle: async ({ body, address, req }) => ({ body: await logIn(login, body, { address, req }) }),
  }),
  openRoute({
    ...open,
    method: 'POST',
    path: '/auth/refresh',
    operation: 'refresh',
    summary: 'Change a refresh token for a new pair',
    body: refreshBody,
    success: { status: 200, description: 'A new pair; the old refresh token dies after 10 s', schema: pair },
    problems: [...badBody, 'unauthenticated', 'rate-limited'],
    handle: async ({ body }) => ({ body: await refresh(login, body.refresh_token) }),
  }),
  openRoute({
    ...open,
    method: 'POST',
    path: '/auth/logout',
    operation: 'logOut',
    summary: 'End the session of a refresh token',
    body: refreshBody,
    success: { status: 204, description: 'The session is over, if there was one' },
    problems: [...badBody, 'rate-limited'],
    handle: async ({ body }) => {
      await logOut(login, body.refresh_token);
      return {};
    },
  }),
  openRoute({
    ...open,
    method: 'POST',
    path: '/auth/password-reset',
    operation: 'resetPassword',
    summary: 'Set a new password with a reset token',
    body: resetBody,
    success: { status: 204, description: 'Set; every session of the user is over' },
    problems: [...badBody, 'unauthenticated', 'rate-limited', 'unavailable'],
    handle: async ({ body }) => {
      await resetPassword(login, body.token, body.new_password);
      return {};
    },
  }),
];
