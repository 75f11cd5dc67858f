import type { Tenant } from '../db/tenant.ts';
import { pageById } from '../http/page.ts';
import { Problem } from '../http/problem.ts';
import { principalOfUser } from './credentials.ts';
import { assertNotAbove, assertPerson } from './grants.ts';
import type { Login } from './login.ts';
import { type Caller, type Principal, type Role, route } from './principal.ts';
import { listQuery, reset, type User, user, userPage, userParams, userPatch } from './schemas.ts';
import { makeSecret } from './secrets.ts';
import { endSessions, findEnabledUser, insertReset, listUsers, lockUser, updateUser } from './users_sql.ts';

const RESET_TTL_S = 3600;
const admin = { tag: 'Users', access: 'admin', limit: 'auth' } as const;

export const userRoutes = (login: Login) => [
  route({
    ...admin,
    method: 'GET',
    path: '/auth/users',
    operation: 'listUsers',
    summary: 'List users',
    query: listQuery,
    success: { status: 200, description: 'A page of users, in the order of registration', schema: userPage },
    problems: ['validation', 'forbidden'],
    handle: async ({ caller: { tenant }, query }) => {
      const read = (after: string, count: number) => tenant.read((db) => listUsers(db, tenant.id, after, count));
      return { body: await pageById(query, read, (row) => row.user_id) };
    },
  }),
  route({
    ...admin,
    method: 'PATCH',
    path: '/auth/users/{user_id}',
    operation: 'changeUser',
    summary: 'Update a user',
    description: 'Changes the role of the user, or disables or enables the user.',
    params: userParams,
    body: userPatch,
    audit: 'user.changed',
    success: { status: 200, description: 'The updated user. Every daemon applies the change within 60 seconds', schema: user },
    problems: ['validation', 'forbidden', 'not-found', 'conflict'],
    handle: async ({ caller, params, body }) => {
      const changed = await changeUser(caller, params.user_id, body);
      login.credentials.invalidate(caller.tenant.id);
      return { body: changed, audit: { role: changed?.role, disabled: changed?.disabled } };
    },
  }),
  route({
    ...admin,
    method: 'POST',
    path: '/auth/users/{user_id}/password-reset',
    operation: 'makePasswordReset',
    summary: 'Create a password reset token',
    description: 'The user sets a new password with it at `POST /auth/password-reset`.',
    params: userParams,
    audit: 'user.reset_made',
    success: {
      status: 201,
      description: 'The token. It is valid once, for one hour, and is shown only in this response',
      schema: reset,
    },
    problems: ['forbidden', 'not-found'],
    handle: async ({ caller, params }) => {
      const created = await makeReset(caller, params.user_id);
      return { body: created, audit: { reset_id: created.reset_id } };
    },
  }),
];

function changeUser(
  { tenant, principal }: Caller,
  user_id: string,
  patch: { role?: Role | undefined; disabled?: boolean | undefined },
) {
  assertPerson(principal);
  return tenant.write(async (db) => {
    const { user, owners } = await lockUser(db, tenant.id, user_id);
    if (!user) throw noUser();
    const role = patch.role ?? user.role;
    const disabled = patch.disabled ?? user.disabled;
    assertNotAbove(principal, user.role);
    assertNotAbove(principal, role);
    if (owners.length === 1 && owners[0] === user_id && (role !== 'owner' || disabled))
      throw new Problem('conflict', 'The user is the last owner; make another user an owner first.');
    if (disabled) await endSessions(db, tenant.id, user_id, null);
    return updateUser(db, tenant.id, user_id, role, disabled);
  });
}

function makeReset({ tenant, principal }: Caller, user_id: string) {
  assertPerson(principal);
  const secret = makeSecret('rst', tenant.id);
  return tenant.write(async (db) => {
    const { user } = await lockUser(db, tenant.id, user_id);
    if (!user) throw noUser();
    assertNotAbove(principal, user.role);
    assertEnabled(user);
    const expires_at = await insertReset(db, tenant.id, secret, user_id, principal.id, RESET_TTL_S);
    return { reset_id: secret.id, token: secret.text, user_id, expires_at };
  });
}

/** Creates a password reset on behalf of the operator, for a user who forgot the password and has no admin to help. */
export function makeOperatorReset(tenant: Tenant, username: string) {
  const secret = makeSecret('rst', tenant.id);
  return tenant.write(async (db) => {
    const user = await findEnabledUser(db, tenant.id, username);
    if (!user) return undefined;
    const expires_at = await insertReset(db, tenant.id, secret, user.user_id, 'operator', RESET_TTL_S);
    return { token: secret.text, user_id: user.user_id, expires_at };
  });
}

/** Returns the principal of an enabled user, for a command of the operator that acts for the user. */
export async function findPrincipal(tenant: Tenant, username: string): Promise<Principal | undefined> {
  const user = await tenant.read((db) => findEnabledUser(db, tenant.id, username));
  return user && principalOfUser(tenant.id, user);
}

function assertEnabled(user: User): void {
  if (user.disabled) throw new Problem('conflict', 'The user is disabled.');
}

const noUser = () => new Problem('not-found', 'There is no user with this id.');
