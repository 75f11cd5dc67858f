import { pageById } from '../http/page.ts';
import { Problem } from '../http/problem.ts';
import { compareTimes, timeNow } from '../time.ts';
import { assertGrantable, assertNotAbove, type Grant } from './grants.ts';
import { sealSecret } from './key_states.ts';
import { insertKey, type KeyFilter, listKeys, lockKey, revokeKey } from './keys_sql.ts';
import { type Login, tenantLimitOf } from './login.ts';
import { type Caller, isAdmin, type Principal, type RateLimit, route } from './principal.ts';
import { type KeyBody, keyBody, keyPage, keyParams, listQuery, newKey } from './schemas.ts';
import { makeSecret } from './secrets.ts';

const keys = { tag: 'API keys', limit: 'auth' } as const;

export const keyRoutes = (login: Login) => [
  route({
    ...keys,
    method: 'POST',
    path: '/auth/api-keys',
    operation: 'makeKey',
    summary: 'Create an API key',
    description: 'A key cannot have more permissions than the credential that creates it.',
    access: 'write',
    body: keyBody,
    freeText: ['name'],
    unredactable: ['user_id', 'agent_id'],
    audit: 'key.made',
    success: { status: 201, description: 'The key. Its secret is shown only in this response', schema: newKey },
    problems: ['validation', 'forbidden', 'conflict'],
    handle: async ({ caller, body }) => {
      const created = await makeKey(login, caller, body);
      const { key_id, role, scopes, user_id, channels, expires_at, agent_id, rate_limit, signed } = created;
      return {
        body: created,
        headers: { Location: `/auth/api-keys/${key_id}` },
        audit: { key_id, role, scopes, user_id, channels, expires_at, agent_id, rate_limit, signed },
      };
    },
  }),
  route({
    ...keys,
    method: 'GET',
    path: '/auth/api-keys',
    operation: 'listKeys',
    summary: 'List API keys',
    description: 'Admins list all keys of the tenant, other users their own.',
    access: 'read',
    query: listQuery,
    success: { status: 200, description: 'A page of keys, without their secrets', schema: keyPage },
    problems: ['validation'],
    handle: async ({ caller: { tenant, principal }, query }) => {
      const read = (after: string, count: number) =>
        tenant.read((db) => listKeys(db, tenant.id, keyFilterOf(principal), after, count));
      return { body: await pageById(query, read, (row) => row.key_id) };
    },
  }),
  route({
    ...keys,
    method: 'DELETE',
    path: '/auth/api-keys/{key_id}',
    operation: 'revokeKey',
    summary: 'Revoke an API key',
    description: 'Also revokes all keys that were created with it.',
    access: 'write',
    params: keyParams,
    audit: 'key.revoked',
    success: { status: 204, description: 'The key was revoked. Every daemon rejects it within 60 seconds' },
    problems: ['forbidden', 'not-found'],
    handle: async ({ caller, params }) => {
      await revoke(caller, params.key_id);
      login.credentials.invalidate(caller.tenant.id);
      return {};
    },
  }),
];

async function makeKey({ settings, seal }: Login, { tenant, principal }: Caller, body: KeyBody) {
  const grant: Grant = {
    role: body.role,
    scopes: body.scopes,
    user_id: body.user_id ?? principal.subject,
    channels: body.channels ?? null,
    expires_at: futureOf(body.expires_at),
    agent_id: body.agent_id ?? principal.agent_id ?? null,
    rate_limit: body.rate_limit ?? null,
  };
  assertGrantable(principal, grant);
  if (body.rate_limit) assertBelow(body.rate_limit, tenantLimitOf(settings));
  const secret = makeSecret('key', tenant.id);
  const created_with = principal.kind === 'key' ? principal.id : null;
  const row = {
    ...grant,
    name: body.name,
    created_by: principal.user_id,
    created_with,
    agent_attested: grant.agent_id !== null && isAdmin(principal),
    sealed_secret: body.signed ? sealSecret(seal, secret.text, tenant.id, secret.id) : null,
  };
  const created = await tenant.write((db) => insertKey(db, tenant.id, secret, row));
  if (!created) throw new Problem('conflict', 'The tenant has too many keys. Revoke some first.');
  return { ...created, api_key: secret.text };
}

/** The limit of a key must not exceed the tenant's limit, either within a window or as a rate. */
function assertBelow({ max, window_ms }: RateLimit, tenant: RateLimit): void {
  if (max <= tenant.max && max * tenant.window_ms <= tenant.max * window_ms) return;
  const detail = `must be at most the tenant’s limit of ${tenant.max} requests per ${tenant.window_ms} ms (RATE_LIMIT_TENANT_MAX)`;
  throw new Problem('validation', `rate_limit ${detail}.`, { errors: [{ pointer: '#/rate_limit', detail }] });
}

function futureOf(expires_at: string | undefined): string | null {
  if (expires_at === undefined) return null;
  if (compareTimes(expires_at, timeNow()) > 0) return expires_at;
  throw new Problem('validation', 'expires_at must be in the future.', {
    errors: [{ pointer: '#/expires_at', detail: 'must be in the future' }],
  });
}

function revoke({ tenant, principal }: Caller, key_id: string) {
  return tenant.write(async (db) => {
    const key = await lockKey(db, tenant.id, keyFilterOf(principal), key_id);
    if (!key || key.revoked_at !== null) throw new Problem('not-found', 'There is no API key with this id.');
    assertNotAbove(principal, key.role);
    await revokeKey(db, tenant.id, key_id);
  });
}

function keyFilterOf(principal: Principal): KeyFilter {
  if (isAdmin(principal)) return { created_by: null, key_id: null };
  return principal.kind === 'key' ? { created_by: null, key_id: principal.id } : { created_by: principal.user_id, key_id: null };
}
