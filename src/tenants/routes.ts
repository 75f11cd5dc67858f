import { type Caller, isAdmin, route } from '../auth/index.ts';
import { recallKey, rememberKey } from '../db/idempotency.ts';
import type { Db } from '../db/query.ts';
import { assertVersion, etagOf, type IfMatch, ifMatchOf, isCreateOnly } from '../http/etag.ts';
import { replayHeaders } from '../http/outcome.ts';
import { Problem } from '../http/problem.ts';
import type { Idempotency } from '../http/route.ts';
import type { Secrets } from '../secrets/index.ts';
import { type Announce, deleteTenant } from './erase.ts';
import {
  closing,
  confirmation,
  type TenantPatch,
  type TenantView,
  tenantPatch,
  tenant as tenantSchema,
  usage,
} from './schemas.ts';
import { assignDoingAgents, isLanguage, lockVersion, readTenant, readUsage, updateTenant } from './sql.ts';

const tagged = { tag: 'Tenant', limit: 'v1' } as const;

export interface TenantNeeds {
  announce: Announce;
  /** Drops cached credentials of the tenant. */
  invalidate(tenant_id: string): void;
  /** Starts to remove its rows. */
  erase(tenant_id: string): void;
  /** Makes other features read the settings again. */
  changed(tenant_id: string): void;
}

export const tenantRoutes = ({ announce, invalidate, erase, changed }: TenantNeeds, secrets: Secrets) => [
  route({
    ...tagged,
    method: 'GET',
    path: '/v1/tenant',
    operation: 'readTenant',
    summary: 'Get the tenant, its settings and quotas',
    access: 'read',
    success: { status: 200, description: 'The tenant', schema: tenantSchema },
    problems: ['not-found'],
    handle: async ({ caller: { tenant } }) => answer(await tenant.read((db) => readTenant(db, tenant.id))),
  }),
  route({
    ...tagged,
    method: 'PATCH',
    path: '/v1/tenant',
    operation: 'changeTenant',
    summary: 'Update the tenant’s settings',
    description: 'After a change of `language`, the operator has to rebuild the passages.',
    access: 'admin',
    idempotent: true,
    body: tenantPatch,
    freeText: ['settings/display_name'],
    audit: 'tenant.changed',
    success: { status: 200, description: 'The updated tenant', schema: tenantSchema },
    problems: ['validation', 'forbidden', 'not-found', 'conflict', 'precondition-failed'],
    handle: async ({ caller, body, req, idempotency }) => {
      if (isCreateOnly(req)) throw new Problem('precondition-failed', 'The tenant already exists.');
      if (body.settings?.secrets?.mode === 'encrypt' && !secrets.canEncrypt) throw noKey();
      const { view, replay } = await changeTenant(caller, body, ifMatchOf(req), idempotency);
      changed(caller.tenant.id);
      const fields = [...Object.keys(body), ...Object.keys(body.settings ?? {}).map((name) => `settings.${name}`)];
      return { ...answer(view, replay), audit: { fields, ...(replay && { replay }) } };
    },
  }),
  route({
    ...tagged,
    method: 'DELETE',
    path: '/v1/tenant',
    operation: 'deleteTenant',
    summary: 'Delete the tenant and all its data',
    description: 'Only an owner who is logged in can delete the tenant.',
    access: 'admin',
    body: confirmation,
    audit: 'tenant.deleted',
    success: { status: 202, description: 'All credentials are revoked, and the rows are being removed', schema: closing },
    problems: ['validation', 'forbidden', 'unavailable'],
    handle: async ({ caller: { tenant, principal }, body }) => {
      if (principal.role !== 'owner' || principal.kind !== 'user' || !isAdmin(principal))
        throw new Problem('forbidden', 'Only an owner who is logged in can delete the tenant.');
      if (body.confirm !== tenant.id)
        throw new Problem('validation', 'To delete the tenant, set confirm to its id.', {
          errors: [{ pointer: '#/confirm', detail: 'must be the id of the tenant' }],
        });
      await deleteTenant(tenant, announce);
      invalidate(tenant.id);
      erase(tenant.id);
      return { body: { tenant_id: tenant.id, state: 'deleting' } };
    },
  }),
  route({
    ...tagged,
    method: 'GET',
    path: '/v1/usage',
    operation: 'readUsage',
    summary: 'Get the tenant’s usage',
    description: 'Returns stored events and bytes, and the number of users and API keys.',
    access: 'read',
    success: { status: 200, description: 'The current usage', schema: usage },
    problems: ['not-found'],
    handle: async ({ caller: { tenant } }) => {
      const figures = await tenant.read((db) => readUsage(db, tenant.id));
      if (!figures) throw noTenant();
      return { body: figures };
    },
  }),
];

const noKey = () =>
  new Problem('validation', 'Secrets cannot be stored encrypted: the operator has not set ENCRYPTION_KEY.', {
    errors: [{ pointer: '#/settings/secrets/mode', detail: 'must be "redact" or "refuse" unless ENCRYPTION_KEY is set' }],
  });
const noTenant = () => new Problem('not-found', 'The tenant no longer exists.');

function answer(view: TenantView | undefined, replay = false) {
  if (!view) throw noTenant();
  return { body: view, headers: { ETag: etagOf(view), ...replayHeaders(replay) } };
}

function changeTenant({ tenant }: Caller, patch: TenantPatch, match: IfMatch, idempotency: Idempotency | null) {
  return tenant.write(async (db) => {
    const version = await lockVersion(db, tenant.id);
    if (version === undefined) throw noTenant();
    const replay = idempotency !== null && (await recallKey(db, tenant.id, idempotency));
    if (!replay) {
      assertVersion(match, { version }, 'tenant');
      if (patch.language !== undefined) await assertLanguage(db, patch.language);
      await updateTenant(db, tenant.id, patch);
      if (patch.settings?.one_doing_per_agent !== undefined) await assignDoingAgents(db, tenant.id);
      if (idempotency) await rememberKey(db, tenant.id, idempotency);
    }
    return { view: await readTenant(db, tenant.id), replay };
  });
}

async function assertLanguage(db: Db, language: string): Promise<void> {
  if (!(await isLanguage(db, language)))
    throw new Problem('validation', 'The database has no text search configuration with this name.', {
      errors: [{ pointer: '#/language', detail: 'must be a text search configuration such as english, german or simple' }],
    });
}
