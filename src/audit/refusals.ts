import type { EntryInput } from './chain.ts';

// Refusals are aggregated: one entry per principal, route and status in each window. Unauthenticated clients cannot grow the stream at will:
// the first few sources are counted separately, all others together.

/** Per tenant and window. */
export const MAX_UNKNOWN_SOURCES = 5;
export const MAX_PRINCIPALS = 100;
/** Number of tenants that only unauthenticated requests named; such tenants may not exist. */
const MAX_UNVERIFIED_TENANTS = 10_000;

export interface Refusal {
  tenant: string;
  /** Null if the request was not authenticated. */
  principal: { id: string; kind: string; user_id: string } | null;
  address: string;
  route: string;
  status: number;
  /** The code of the problem, which the service determines. */
  code?: string | undefined;
  request_id: string;
  /** The id in an invalid credential. */
  claimed?: string | undefined;
  at: string;
}

interface Counter {
  first: Refusal;
  last: Refusal;
  count: number;
  /** Number of refusals by code. */
  codes: Record<string, number>;
  overflow: boolean;
}

interface TenantCounts {
  known: Map<string, Counter>;
  unknown: Map<string, Counter>;
}

export interface RefusalCounts {
  add(refusal: Refusal): void;
  /** Returns the tenants that only unauthenticated requests named, to check whether they exist. */
  unverifiedTenants(): string[];
  /** Returns the ids of users and keys that the entries would name, by tenant. */
  principalIds(): [tenant: string, ids: string[]][];
  /** Removes and returns the counts by tenant. Tenants in `checked` are returned only if they are in `existing`. Later refusals are kept. */
  drain(checked: ReadonlySet<string>, existing: ReadonlySet<string>): [tenant: string, inputs: EntryInput[]][];
}

export function createRefusalCounts(): RefusalCounts {
  const byTenant = new Map<string, TenantCounts>();
  const unverifiedTenants = () => [...byTenant].filter(([, { known }]) => known.size === 0).map(([tenant]) => tenant);

  function countsOf({ tenant, principal }: Refusal): TenantCounts | undefined {
    const existing = byTenant.get(tenant);
    if (existing || (principal === null && byTenant.size >= MAX_UNVERIFIED_TENANTS)) return existing;
    const counts: TenantCounts = { known: new Map(), unknown: new Map() };
    byTenant.set(tenant, counts);
    return counts;
  }

  return {
    add(refusal) {
      const counts = countsOf(refusal);
      if (!counts) return;
      const { principal, address, route, status } = refusal;
      const [counters, max] = principal ? [counts.known, MAX_PRINCIPALS] : [counts.unknown, MAX_UNKNOWN_SOURCES];
      const ownKey = `${principal?.id ?? address} ${status} ${route}`;
      const overflow = !counters.has(ownKey) && counters.size >= max;
      const key = overflow ? `overflow ${status}` : ownKey;
      const counter = counters.get(key) ?? { first: refusal, last: refusal, count: 0, codes: {}, overflow };
      counters.set(key, counter);
      counter.last = refusal;
      counter.count += 1;
      if (refusal.code !== undefined) counter.codes[refusal.code] = (counter.codes[refusal.code] ?? 0) + 1;
    },
    unverifiedTenants,
    principalIds: () =>
      [...byTenant].map(([tenant, { known, unknown }]) => [tenant, [...known.values(), ...unknown.values()].flatMap(idsIn)]),
    drain(checked, existing) {
      const drained: [string, EntryInput[]][] = [];
      for (const [tenant, { known, unknown }] of byTenant) {
        if (known.size === 0 && !checked.has(tenant)) continue;
        byTenant.delete(tenant);
        if (known.size > 0 || existing.has(tenant)) drained.push([tenant, [...known.values(), ...unknown.values()].map(inputOf)]);
      }
      return drained;
    },
  };
}

function inputOf({ first, last, count, codes, overflow }: Counter): EntryInput {
  const { principal, address, claimed } = last;
  const identity = principal
    ? { principal_id: principal.id, principal_kind: principal.kind, user_id: principal.user_id }
    : { principal_kind: 'unknown', ...(claimed !== undefined && { claimed }) };
  return {
    action: 'refused',
    route: overflow ? '*' : first.route,
    status: first.status,
    count,
    first_at: first.at,
    payload: {
      ...(overflow ? { principal_kind: principal ? 'others' : 'unknown others' } : { ...identity, address }),
      ...(Object.keys(codes).length > 0 && { codes }),
      request_id: last.request_id,
      last_at: last.at,
    },
  };
}

const idsIn = ({ last: { principal, claimed } }: Counter): string[] =>
  principal ? [principal.id, principal.user_id] : claimed === undefined ? [] : [claimed];

/** Removes the ids from an entry if their account was erased after the refusal. The refusal still counts. */
export function withoutDeleted(input: EntryInput, deleted: ReadonlySet<string> = new Set()): EntryInput {
  const { principal_id, user_id, claimed, request_id, last_at } = input.payload;
  if (![principal_id, user_id, claimed].some((id) => deleted.has(id as string))) return input;
  return { ...input, payload: { principal_kind: 'gone', request_id, last_at } };
}
