import { Problem } from '../http/problem.ts';
import { allowanceOf, type Login, verifyPassword } from './login.ts';
import { requirePassword } from './passwords.ts';
import { type Caller, type Principal, route } from './principal.ts';
import { me, passwordBody, sessionPage, sessionParams, sessionQuery } from './schemas.ts';
import { changePassword, clearFailures, endSessionById, endSessions, listSessions } from './users_sql.ts';

const tagged = { tag: 'Authentication', access: 'any', limit: 'auth' } as const;

export const meRoutes = (login: Login) => [
  route({
    ...tagged,
    method: 'GET',
    path: '/auth/me',
    operation: 'readMe',
    summary: 'Get the identity and permissions of your credential',
    success: { status: 200, description: 'The identity and permissions of the credential', schema: me },
    problems: [],
    handle: async ({ caller: { principal } }) => ({ body: { ...principal, rate_limit: allowanceOf(principal, login.settings) } }),
  }),
  route({
    ...tagged,
    method: 'PUT',
    path: '/auth/me/password',
    operation: 'changePassword',
    summary: 'Change your password',
    description: 'Ends all your other sessions.',
    body: passwordBody,
    audit: 'password.changed',
    success: { status: 204, description: 'The password was changed, and all other sessions have ended' },
    problems: ['validation', 'forbidden', 'rate-limited', 'unavailable'],
    handle: async ({ caller, body, address }) => {
      await changeOwnPassword(login, caller, body, address);
      return { audit: { user_id: caller.principal.user_id } };
    },
  }),
  route({
    ...tagged,
    method: 'GET',
    path: '/auth/sessions',
    operation: 'listSessions',
    summary: 'List your sessions, most recently used first',
    success: { status: 200, description: 'All active sessions', schema: sessionPage },
    problems: ['forbidden'],
    handle: async ({ caller }) => {
      const { user_id, session_id } = requireSession(caller.principal);
      const data = await caller.tenant.read((db) => listSessions(db, caller.tenant.id, user_id, session_id));
      return { body: { data, next_cursor: null } };
    },
  }),
  route({
    ...tagged,
    method: 'DELETE',
    path: '/auth/sessions',
    operation: 'endSessions',
    summary: 'End all your other sessions',
    description: 'Ends only one session if `id` is present.',
    query: sessionQuery,
    audit: 'session.ended',
    success: { status: 204, description: 'The session has ended' },
    problems: ['forbidden', 'not-found'],
    handle: async ({ caller, query }) => {
      await endOwnSessions(login, caller, query.id);
      return { audit: query.id === undefined ? { all: true } : { session_id: query.id } };
    },
  }),
  route({
    ...tagged,
    method: 'DELETE',
    path: '/auth/sessions/{session_id}',
    operation: 'endSession',
    summary: 'End one of your sessions',
    params: sessionParams,
    audit: 'session.ended',
    success: { status: 204, description: 'The session has ended' },
    problems: ['forbidden', 'not-found'],
    handle: async ({ caller, params }) => {
      await endOwnSessions(login, caller, params.session_id);
      return {};
    },
  }),
];

async function changeOwnPassword(
  login: Login,
  { principal, tenant }: Caller,
  body: { current_password: string; new_password: string },
  address: string,
): Promise<void> {
  const { user_id, session_id, username } = requireSession(principal);
  requirePassword(body.new_password, username, 'new_password');
  const submitted = { username, password: body.current_password };
  // throttled like a login: otherwise a stolen access token could guess passwords without limit
  const { attempt, keys, hash } = await login.hasher.withSlot(async (slot) => ({
    ...(await verifyPassword(slot, tenant, submitted, address, wrongPassword)),
    hash: await slot.hash(body.new_password),
  }));
  await tenant.write(async (db) => {
    // locks the user before the failure counters, in the same order as a login
    if (!(await changePassword(db, tenant.id, user_id, attempt.password_hash!, hash))) throw wrongPassword();
    await clearFailures(db, keys);
    await endSessions(db, tenant.id, user_id, session_id);
  });
  login.credentials.invalidate(tenant.id);
}

const wrongPassword = () =>
  new Problem('forbidden', 'The current password is wrong.', {
    errors: [{ pointer: '#/current_password', detail: 'must be the current password' }],
  });

async function endOwnSessions(login: Login, { principal, tenant }: Caller, named: string | undefined): Promise<void> {
  const { user_id, session_id } = requireSession(principal);
  const ended = await tenant.write((db) =>
    named === undefined ? endSessions(db, tenant.id, user_id, session_id) : endSessionById(db, tenant.id, user_id, named),
  );
  if (named !== undefined && ended === 0) throw new Problem('not-found', 'There is no session with this id.');
  login.credentials.invalidate(tenant.id);
}

function requireSession(principal: Principal): { user_id: string; session_id: string; username: string } {
  const { user_id, session_id, username } = principal;
  if (session_id === undefined || username === undefined)
    throw new Problem('forbidden', 'API keys cannot do this; log in as a user.');
  return { user_id, session_id, username };
}
