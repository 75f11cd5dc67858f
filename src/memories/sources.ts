import { LRUCache } from 'lru-cache';
import type { Tenant } from '../db/tenant.ts';
import type { MemoryKind } from './schemas.ts';

// Caches which kinds of memories need a source in each tenant, so that the response to a write needs no read.

/** Returns true for kinds that are their own source; other kinds are claims. `is_act` in SQL has the same list. */
export const isAct = (kind: MemoryKind): boolean => ['decision', 'task', 'rule', 'preference', 'handoff'].includes(kind);

export interface Sources {
  of(tenant: Tenant): Promise<NeedsSource>;
  /** Drops the cached setting of a tenant that was changed on this daemon. */
  forget(tenant_id: string): void;
}

/** Returns true if a memory of this kind needs a source; `needs_sources` in SQL is the same rule. */
export type NeedsSource = (kind: MemoryKind) => boolean;

const MAX_TENANTS = 10_000;

/** `ttl_ms`: how long a setting is cached, because another daemon may have changed it. */
export function openSources(ttl_ms: number): Sources {
  const known = new LRUCache<string, NeedsSource, Tenant>({
    max: MAX_TENANTS,
    ttl: Math.max(1, ttl_ms),
    // a read that a change overtook is returned but not cached
    ignoreFetchAbort: true,
    fetchMethod: (_, __, { context }) => readRequired(context),
  });
  return {
    of: (tenant) => known.forceFetch(tenant.id, { context: tenant }),
    forget: (tenant_id) => void known.delete(tenant_id),
  };
}

async function readRequired(tenant: Tenant): Promise<NeedsSource> {
  const row = await tenant.read((db) =>
    db.row<{ setting: string | null }>(`select settings ->> 'require_sources' as setting from tenants where tenant_id = $1`, [
      tenant.id,
    ]),
  );
  if (row?.setting === 'none') return () => false;
  if (row?.setting === 'all') return (kind) => !isAct(kind);
  return (kind) => kind === 'summary';
}
