import type { IncomingMessage } from 'node:http';
import { Problem } from './problem.ts';

/** Removes a `tenant_id` that names the caller's own tenant; throws `forbidden` for any other tenant. */
export function assertOwnTenant(tenant: string, headers: IncomingMessage['headers'], ...parts: unknown[]): void {
  for (const name of ['x-tenant-id', 'tenant-id', 'tenant_id'])
    if (headers[name] !== undefined) assertSameTenant(tenant, headers[name]);
  for (const part of parts) {
    if (typeof part !== 'object' || part === null || Buffer.isBuffer(part)) continue;
    dropTenantId(tenant, part);
    for (const list of Object.values(part)) if (Array.isArray(list)) for (const item of list) dropTenantId(tenant, item);
  }
}

function dropTenantId(tenant: string, record: unknown): void {
  if (typeof record !== 'object' || record === null || !Object.hasOwn(record, 'tenant_id')) return;
  const named = record as { tenant_id?: unknown };
  assertSameTenant(tenant, named.tenant_id);
  delete named.tenant_id;
}

function assertSameTenant(tenant: string, named: unknown): void {
  if (named !== tenant) throw new Problem('forbidden', 'The request names a tenant other than that of its credential.');
}
