import { LRUCache } from 'lru-cache';
import type { Tenant } from '../db/tenant.ts';
import type { MemoryKind } from './schemas.ts';

// Which claims a tenant wants to rest on something before a context states them. Answers to writes say so without a read.

/** Acts are their own source; claims may need one. `is_act` in SQL says the same. */
export const isAct = (kind: MemoryKind): boolean => ['decision', 'task', 'rule', 'preference', 'handoff'].includes(kind);

export interface Sources {
  of(tenant: Tenant): Promise<NeedsSource>;
  /** The setting was changed here: it counts here at once. */
  forget(tenant_id: string): void;
}

/** Whether a memory of this kind needs a source; `needs_sources` in SQL says the same. */
export type NeedsSource = (kind: MemoryKind) => boolean;

const MAX_TENANTS = 10_000;

/** `ttl_ms`: how long a setting is trusted that another daemon may have changed. */
export function openSources(ttl_ms: number): Sources {
  const known = new LRUCache<string, NeedsSource, Tenant>({
    max: MAX_TENANTS,
    ttl: Math.max(1, ttl_ms),
    // what was read before a change is answered, and not kept
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
