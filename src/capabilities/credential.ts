import { timingSafeEqual } from 'node:crypto';
import { type CredentialKind, openStateCache, type Principal, type Scope } from '../auth/index.ts';
import type { Tenant, Tenants } from '../db/tenant.ts';
import type { Capability, CapabilityOp, Use } from '../http/capability.ts';
import { Problem } from '../http/problem.ts';
import type { CapabilityKeys } from './keys.ts';
import { coverageOf } from './namespaces.ts';
import { type CapabilityState, readCapabilityState } from './sql.ts';
import { type Claims, claimedIn, hasForm, verifyToken } from './token.ts';

interface CapabilityNeeds {
  /** Undefined in production if no key is configured; then no capability is valid. */
  keys: CapabilityKeys | undefined;
  /** The region of this daemon. */
  region: string | undefined;
  tenants: Tenants;
  /** Time in ms for which states are cached. */
  ttl_ms: number;
  /** Takes a token from the bucket of a capability. Throws `rate-limited`. */
  spend(tenant: Tenant, jti: string, per_second: number): Promise<void>;
}

/** Returns the kind of credentials that authenticates capabilities. */
export function capabilityCredentials({ keys, region, tenants, ttl_ms, spend }: CapabilityNeeds): CredentialKind {
  const states = openStateCache<CapabilityState>(ttl_ms);
  return {
    hasForm,
    claimedIn,
    identify: async (text) => {
      const verified = keys && verifyToken(text, keys.accepted);
      if (!verified) return undefined;
      const { claims, digest } = verified;
      const tenant = tenants(claims.ten);
      const state = await states.get(`${claims.ten}.${claims.jti}`, () => readCapabilityState(tenant, claims.jti));
      if (!state || !timingSafeEqual(state.digest, digest)) return undefined;
      const limits = limitsOf(claims, region, (rate) => spend(tenant, claims.jti, rate));
      return { principal: principalOf(claims, state), capability: limits };
    },
    invalidate: (tenant_id) => states.invalidate(`${tenant_id}.`),
  };
}

function assertRegion(regions: string[] | undefined, region: string | undefined): void {
  if (regions === undefined || (region !== undefined && regions.includes(region))) return;
  throw new Problem(
    'region',
    region === undefined
      ? 'The capability is limited to certain regions, and this daemon has no region (REGION).'
      : `The capability is not valid in the region ${region}.`,
  );
}

const scopesOf: Record<CapabilityOp, Scope[]> = {
  GET: ['read'],
  WATCH: ['read'],
  PUT: ['write'],
  DELETE: ['write'],
  LEASE: ['write'],
  ADMIN: ['read', 'write', 'admin'],
};

/** Returns the scopes that the operations need. */
export const scopesFor = (ops: CapabilityOp[]): Scope[] => [...new Set(ops.flatMap((op) => scopesOf[op]))];

/** Returns the principal: its minter, without the scopes that the operations do not need. */
function principalOf({ ten, jti, ops, exp }: Claims, state: CapabilityState): Principal {
  const { created_by, created_with, role, scopes, subject, channels, agent_id, name, rate_limit } = state;
  const agent = agent_id ?? name;
  return {
    tenant_id: ten,
    kind: 'capability',
    id: jti,
    user_id: created_by,
    actor: agent === null ? { type: 'human', id: subject } : { type: 'agent', id: agent },
    ...(agent_id !== null && { agent_id }),
    ...(rate_limit !== null && { rate_limit, payer: created_with! }),
    role: ops.includes('ADMIN') ? role : 'member',
    scopes: scopesFor(ops).filter((scope) => scopes === null || scopes.includes(scope)),
    subject,
    subjects: subject === '*' ? null : [subject],
    channels,
    expires_at: new Date(exp * 1000).toISOString(),
  };
}

function limitsOf(
  { ns, ops, regions, max_bytes, max_qps }: Claims,
  region: string | undefined,
  spend: (per_second: number) => Promise<void>,
): Capability {
  return {
    maxBytes: max_bytes,
    assertCovers: (uses) => assertCovered(ops, coverageOf(ns), uses),
    admit: () => {
      assertRegion(regions, region);
      return max_qps === undefined ? undefined : spend(max_qps);
    },
  };
}

function assertCovered(ops: CapabilityOp[], covers: ReturnType<typeof coverageOf>, uses: Use[]): void {
  for (const { op, namespace } of uses) {
    if (!ops.includes(op)) throw new Problem('forbidden', `The capability does not permit ${op}.`);
    if (namespace === null || covers(namespace)) continue;
    const what = namespace === undefined ? 'all namespaces' : JSON.stringify(namespace.slice(0, 80));
    throw new Problem('forbidden', `The capability does not cover ${what}.`);
  }
}
