import type { EntryInput } from './chain.ts';

// Refusals are counted, not listed: one entry a principal, route and status in each window. Who is not known cannot make the stream grow
// as they like: a few of them are told apart, all others are counted together.

/** Of a tenant, in a window. */
export const MAX_UNKNOWN_SOURCES = 5;
export const MAX_PRINCIPALS = 100;
/** Tenants that strangers named, whether there are such tenants or not. */
const MAX_UNVERIFIED_TENANTS = 10_000;

export interface Refusal {
  tenant: string;
  /** Null: the credential, if there was one, is nobody's. */
  principal: { id: string; kind: string; user_id: string } | null;
  address: string;
  route: string;
  status: number;
  request_id: string;
  /** The id in a credential that was not good. */
  claimed?: string | undefined;
  at: string;
}

interface Line {
  first: Refusal;
  last: Refusal;
  count: number;
  other: boolean;
}

interface TenantCounts {
  known: Map<string, Line>;
  strangers: Map<string, Line>;
}

export interface RefusalCounts {
  add(refusal: Refusal): void;
  /** Tenants of whom nobody but strangers spoke: do they exist? */
  unverifiedTenants(): string[];
  /** Whom the entries would name, by tenant. */
  named(): [tenant: string, ids: string[]][];
  /** Everything counted so far, by tenant. Of what was `asked`, only what `exists`; what came since is kept. */
  take(asked: ReadonlySet<string>, exists: ReadonlySet<string>): [tenant: string, inputs: EntryInput[]][];
}

export function createRefusalCounts(): RefusalCounts {
  const byTenant = new Map<string, TenantCounts>();
  const unverifiedTenants = () => [...byTenant].filter(([, { known }]) => known.size === 0).map(([tenant]) => tenant);

  function countsOf({ tenant, principal }: Refusal): TenantCounts | undefined {
    const found = byTenant.get(tenant);
    if (found || (principal === null && byTenant.size >= MAX_UNVERIFIED_TENANTS)) return found;
    const book: TenantCounts = { known: new Map(), strangers: new Map() };
    byTenant.set(tenant, book);
    return book;
  }

  return {
    add(refusal) {
      const book = countsOf(refusal);
      if (!book) return;
      const { principal, address, route, status } = refusal;
      const [lines, max] = principal ? [book.known, MAX_PRINCIPALS] : [book.strangers, MAX_UNKNOWN_SOURCES];
      const own = `${principal?.id ?? address} ${status} ${route}`;
      const other = !lines.has(own) && lines.size >= max;
      const key = other ? `other ${status}` : own;
      const line = lines.get(key);
      if (!line) lines.set(key, { first: refusal, last: refusal, count: 1, other });
      else {
        line.last = refusal;
        line.count += 1;
      }
    },
    unverifiedTenants,
    named: () =>
      [...byTenant].map(([tenant, { known, strangers }]) => [tenant, [...known.values(), ...strangers.values()].flatMap(idsOf)]),
    take(asked, exists) {
      const taken: [string, EntryInput[]][] = [];
      for (const [tenant, { known, strangers }] of byTenant) {
        if (known.size === 0 && !asked.has(tenant)) continue;
        byTenant.delete(tenant);
        if (known.size > 0 || exists.has(tenant)) taken.push([tenant, [...known.values(), ...strangers.values()].map(inputOf)]);
      }
      return taken;
    },
  };
}

function inputOf({ first, last, count, other }: Line): EntryInput {
  const { principal, address, claimed } = last;
  const whose = principal
    ? { principal_id: principal.id, principal_kind: principal.kind, user_id: principal.user_id }
    : { principal_kind: 'unknown', ...(claimed !== undefined && { claimed }) };
  return {
    action: 'refused',
    route: other ? '*' : first.route,
    status: first.status,
    count,
    first_at: first.at,
    payload: {
      ...(other ? { principal_kind: principal ? 'others' : 'unknown others' } : { ...whose, address }),
      request_id: last.request_id,
      last_at: last.at,
    },
  };
}

const idsOf = ({ last: { principal, claimed } }: Line): string[] =>
  principal ? [principal.id, principal.user_id] : claimed === undefined ? [] : [claimed];

/** An account may be erased between a refusal and its entry: then it still counts, and says of nobody. */
export function withoutDeleted(input: EntryInput, gone: ReadonlySet<string> = new Set()): EntryInput {
  const { principal_id, user_id, claimed, request_id, last_at } = input.payload;
  if (![principal_id, user_id, claimed].some((id) => gone.has(id as string))) return input;
  return { ...input, payload: { principal_kind: 'gone', request_id, last_at } };
}
