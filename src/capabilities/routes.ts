import { type Auth, isAdmin, type Principal, route } from '../auth/index.ts';
import { recallKey, rememberKey } from '../db/idempotency.ts';
import type { Tenants } from '../db/tenant.ts';
import type { controlRecorder, ReplayChange } from '../erasure/index.ts';
import { replayHeaders } from '../http/outcome.ts';
import { pageById } from '../http/page.ts';
import { Problem } from '../http/problem.ts';
import { mintingKey } from './daemons.ts';
import type { CapabilityKeys } from './keys.ts';
import { mint } from './mint.ts';
import { capabilityBody, capabilityList, capabilityPage, capabilityParams, mintedCapability } from './schemas.ts';
import { type CapabilityFilter, listCapabilities, revokeCapability } from './sql.ts';

const tagged = { tag: 'Capabilities', limit: 'v1' } as const;

export const capabilityRoutes = (
  keys: CapabilityKeys | undefined,
  tenants: Tenants,
  { invalidate }: Pick<Auth, 'invalidate'>,
  record: ReturnType<typeof controlRecorder>,
) => [
  route({
    ...tagged,
    method: 'POST',
    path: '/v1/capabilities',
    operation: 'mintCapability',
    summary: 'Mint a capability',
    description:
      'A capability is a credential for some operations on some namespaces. It cannot have more permissions than the credential that mints it, and ends with them.',
    access: 'write',
    idempotent: true,
    body: capabilityBody,
    unredactable: ['ns', 'regions', 'agent'],
    audit: 'capability.minted',
    success: { status: 201, description: 'The capability, shown only in this response', schema: mintedCapability },
    problems: ['malformed-json', 'impossible-text', 'validation', 'forbidden', 'conflict', 'unavailable'],
    handle: async ({ caller, body, idempotency }) => {
      const minted = await mint(caller, body, await mintingKey(tenants, required(keys)), idempotency);
      const { ops, regions, max_bytes, max_qps, agent } = body;
      const { jti, expires_at } = minted;
      return {
        body: minted,
        headers: { Location: `/v1/capabilities/${jti}` },
        // without the namespaces, because they may contain the names of users
        audit: { jti, ops, regions, max_bytes, max_qps, agent_id: agent, expires_at },
      };
    },
  }),
  route({
    ...tagged,
    method: 'GET',
    path: '/v1/capabilities',
    operation: 'listCapabilities',
    summary: 'List capabilities',
    description: 'Admins list all capabilities of the tenant, other users their own, and keys those that they minted.',
    access: 'read',
    query: capabilityList,
    success: { status: 200, description: 'A page of capabilities, without their text', schema: capabilityPage },
    problems: ['validation', 'unavailable'],
    handle: async ({ caller: { tenant, principal }, query }) => {
      required(keys);
      const read = (after: string, count: number) =>
        tenant.read((db) => listCapabilities(db, tenant.id, filterOf(principal), after, count));
      return { body: await pageById(query, read, (row) => row.jti) };
    },
  }),
  route({
    ...tagged,
    method: 'DELETE',
    path: '/v1/capabilities/{jti}',
    operation: 'revokeCapability',
    summary: 'Revoke a capability',
    access: 'write',
    idempotent: true,
    params: capabilityParams,
    audit: 'capability.revoked',
    success: {
      status: 204,
      description: 'The capability was revoked. This daemon rejects it at once, the others within `CREDENTIAL_TTL_MS`',
    },
    problems: ['validation', 'forbidden', 'not-found', 'conflict', 'unavailable'],
    handle: async ({ caller: { tenant, principal }, params, idempotency }) => {
      required(keys);
      const { replay, revoked } = await tenant.write(async (db) => {
        const known = idempotency && (await recallKey(db, tenant.id, idempotency));
        const row = await revokeCapability(db, tenant.id, filterOf(principal), params.jti);
        if (idempotency && !known && row?.changed) await rememberKey(db, tenant.id, idempotency);
        return { replay: Boolean(known), revoked: row };
      });
      invalidate(tenant.id);
      // also for a retry, whose first attempt may have failed here
      if (revoked) record(tenant.id, revoked.revoked_at, { kind: 'capability', id: params.jti });
      if (!replay && !revoked?.changed) throw new Problem('not-found', 'There is no valid capability with this id.');
      return { headers: replayHeaders(replay) };
    },
  }),
];

/** After a restore, revokes a capability whose revocation the ledger records. */
export const replayRevocation: ReplayChange = (tenant, { id }) =>
  tenant.write((db) => revokeCapability(db, tenant.id, { created_by: null, created_with: null }, String(id)));

function required(keys: CapabilityKeys | undefined): CapabilityKeys {
  if (keys) return keys;
  throw new Problem('unavailable', 'Capabilities require a key: the operator must set CAP_KEY_ACTIVE.', {
    headers: { 'Retry-After': '60' },
  });
}

function filterOf(principal: Principal): CapabilityFilter {
  if (isAdmin(principal)) return { created_by: null, created_with: null };
  return principal.kind === 'key'
    ? { created_by: null, created_with: principal.id }
    : { created_by: principal.user_id, created_with: null };
}
