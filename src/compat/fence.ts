import type { IncomingMessage } from 'node:http';
import type { Caller } from '../auth/index.ts';
import { Problem, toProblem } from '../http/problem.ts';
import type { Idempotency } from '../http/route.ts';

// Leases of AgentState belong to a namespace, and those of this service to the tenant.

/** Returns the key of a lease. The part after the namespace contains no "/", so that different leases have different keys. */
export const leaseKeyOf = (namespace: string, key: string): string =>
  `${namespace}/${key.replaceAll(/[%/]/g, (character) => encodeURIComponent(character))}`;

/**
 * Returns the caller with a tenant whose writes depend on the lease that the headers If-Resource and If-Fence name. Throws `conflict` if it is not held
 * with that token, or if there is no token.
 */
export async function fencedBy(
  { headersDistinct }: IncomingMessage,
  caller: Caller,
  namespace: string,
  retry: Idempotency | null,
): Promise<Caller> {
  const [resource] = headersDistinct['if-resource'] ?? [];
  if (resource === undefined) return caller;
  const [token = ''] = headersDistinct['if-fence'] ?? [];
  if (!/^\d{1,15}$/.test(token))
    throw new Problem('conflict', 'The header If-Resource requires the token of the lease in If-Fence.');
  const fence = { key: leaseKeyOf(namespace, resource), token: Number(token) };
  const tenant = caller.tenant.guarded({ leases: fence }, retry?.key ?? null);
  await asConflict(() => tenant.check());
  return { ...caller, tenant };
}

/** Throws `conflict` in place of `stale-lease`, because AgentState answers 409. */
export async function asConflict<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const problem = toProblem(error);
    throw problem.type === 'stale-lease' ? new Problem('conflict', problem.message, { cause: error }) : error;
  }
}
