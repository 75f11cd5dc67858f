import { LRUCache } from 'lru-cache';
import type { Tenant } from '../db/tenant.ts';
import { type FieldError, Problem } from '../http/problem.ts';
import { type Seal, SealBroken, type Sealed } from '../seal.ts';
import { findSecrets } from './detect.ts';
import { personalKinds } from './personal.ts';
import { type Finding, redactJson, redactText } from './redact.ts';
import type { SecretsPolicy } from './schemas.ts';

// Applies the tenant's policy to secrets in writes: redact, refuse or encrypt. Every write that stores something goes through a screener.

/** A value that may be stored. */
interface Screened<T> {
  value: T;
  /** Number of redacted spans. */
  redactions: number;
  /** The encrypted original, if the policy keeps it. */
  sealed?: Sealed;
}

export interface Screener {
  /** Screens JSON at every depth, including names. `aad` is the id of the row that stores it; the sealed copy is bound to it. */
  screen<T>(value: T, at: { pointer: string; aad: string }): Screened<T>;
  /** Screens one text, such as an upload. */
  screenText(text: string, at: { pointer: string; aad: string }): Screened<string>;
  /** Decrypts the sealed copy of a memory. Returns undefined if the policy no longer encrypts or the copy cannot be opened. */
  unseal(sealed: Sealed, aad: string): Record<string, unknown> | undefined;
  /** Rejects ids that contain a secret. Ids cannot be redacted, because they link things. */
  refuseIds(ids: Record<string, string | undefined>, pointer: string): void;
  /** Rejects JSON, such as a filter, that contains a secret at any depth. */
  refuse(value: unknown, pointer: string): void;
  /** Returns the secrets without changing anything. If `personal` is true, includes the personal data that the policy covers. */
  find(value: unknown, pointer: string, personal: boolean): Finding[];
}

/** The data from which a worker creates the same screener. */
export interface ScreenerSource {
  tenant_id: string;
  policy: SecretsPolicy;
}

/** Runs a task in a worker (src/worker.ts), in the tenant's queue. */
export type RunTask = <T>(tenant_id: string, task: 'screen' | 'find', input: unknown) => Promise<T>;

/** A screener that processes large values in a worker. */
export interface AsyncScreener extends Screener {
  source: ScreenerSource;
  screenAsync: <T>(...args: [value: T, at: { pointer: string; aad: string }]) => Promise<Screened<T>>;
  findAsync(...args: [value: unknown, pointer: string, personal: boolean]): Promise<Finding[]>;
}

export interface Secrets {
  of(tenant: Tenant): Promise<AsyncScreener>;
  /** Drops the cached policy, so that a change made through this daemon applies to it immediately. */
  forget(tenant_id: string): void;
  /** True if mode `encrypt` is available. */
  canEncrypt: boolean;
  /** Decrypts a sealed copy. */
  open(tenant_id: string, sealed: Sealed, aad: string): string;
}

const PURPOSE = 'secrets';
const MAX_CACHED_TENANTS = 10_000;
const MAX_FAULTS = 20;

/** `ttl_ms` is the time for which a policy is cached; another daemon may have changed it. */
export function openSecrets(seal: Seal | undefined, ttl_ms: number, run?: RunTask): Secrets {
  const cache = new LRUCache<string, AsyncScreener, Tenant>({
    max: MAX_CACHED_TENANTS,
    ttl: Math.max(1, ttl_ms),
    // a policy that was read before a change is returned, but not cached
    ignoreFetchAbort: true,
    fetchMethod: async (tenant_id, _, { context }) => {
      const source = { tenant_id, policy: await readPolicy(context) };
      return createAsyncScreener(screenerOf(source, seal), source, run);
    },
  });
  return {
    of: async (tenant) => cache.get(tenant.id) ?? cache.forceFetch(tenant.id, { context: tenant }),
    forget: (tenant_id) => void cache.delete(tenant_id),
    canEncrypt: seal !== undefined,
    open: (tenant_id, sealed, aad) => {
      if (!seal) throw new Problem('unavailable', 'ENCRYPTION_KEY is not configured.');
      return seal.open(sealed, PURPOSE, `${tenant_id}/${aad}`).toString();
    },
  };
}

async function readPolicy(tenant: Tenant): Promise<SecretsPolicy> {
  const row = await tenant.read((db) =>
    db.row<{ policy: SecretsPolicy | null }>(`select settings -> 'secrets' as policy from tenants where tenant_id = $1`, [
      tenant.id,
    ]),
  );
  return row?.policy ?? {};
}

/** JSON of this length is searched in about 10 ms, in the worst case in 20 ms. */
const SMALL_CHARACTERS = 16 * 1024;

function createAsyncScreener(screener: Screener, source: ScreenerSource, run: RunTask | undefined): AsyncScreener {
  const isSmall = (value: unknown) =>
    !run || (typeof value === 'string' ? value : JSON.stringify(value)).length <= SMALL_CHARACTERS;
  return {
    ...screener,
    source,
    screenAsync: async (value, at) =>
      isSmall(value) ? screener.screen(value, at) : run!(source.tenant_id, 'screen', { source, args: [value, at] }),
    findAsync: async (value, pointer, personal) =>
      isSmall(value)
        ? screener.find(value, pointer, personal)
        : run!(source.tenant_id, 'find', { source, args: [value, pointer, personal] }),
  };
}

export function screenerOf(
  { tenant_id, policy: { mode = 'redact', ...more } }: ScreenerSource,
  seal: Seal | undefined,
): Screener {
  const classes = { personal_data: more.personal_data ?? false, contacts: more.contacts ?? false };
  const decide = <T>(original: T, value: T, found: Finding[], aad: string): Screened<T> => {
    if (found.length === 0) return { value, redactions: 0 };
    if (mode === 'refuse') throw secretProblem(found);
    const redactions = found.length;
    if (mode !== 'encrypt') return { value, redactions };
    if (!seal) throw new Problem('unavailable', 'The tenant stores secrets encrypted, and this daemon has no ENCRYPTION_KEY.');
    return { value, redactions, sealed: seal.seal(JSON.stringify(original), PURPOSE, `${tenant_id}/${aad}`) };
  };
  return {
    screen: (original, { pointer, aad }) => {
      const { value, found } = redactJson(original, classes, pointer);
      return decide(original, value, found, aad);
    },
    screenText: (original, { pointer, aad }) => {
      const spans = findSecrets(original, classes);
      if (spans.length === 0) return { value: original, redactions: 0 };
      return decide(
        original,
        redactText(original, spans),
        spans.map(({ kind }) => ({ kind, pointer })),
        aad,
      );
    },
    refuse: (value, pointer) => {
      const found = redactJson(value, classes, pointer).found.filter(({ kind }) => !personalKinds.has(kind));
      if (found.length > 0) throw secretProblem(found);
    },
    find: (original, pointer, personal) =>
      redactJson(original, classes, pointer).found.filter(({ kind }) => personal || !personalKinds.has(kind)),
    unseal: (sealed, aad) => (mode === 'encrypt' && seal ? openSealed(seal, sealed, `${tenant_id}/${aad}`) : undefined),
    refuseIds: (ids, pointer) => {
      for (const name in ids) {
        const id = ids[name];
        if (id === undefined) continue;
        const [span] = findSecrets(id, classes);
        if (span && !personalKinds.has(span.kind)) throw secretProblem([{ kind: span.kind, pointer: `${pointer}/${name}` }]);
      }
    },
  };
}

/** The screener for requests without a tenant, such as a registration. */
export const defaultScreener: Screener = screenerOf({ tenant_id: '', policy: {} }, undefined);

export const containsSecret = (text: string): boolean => findSecrets(text, { personal_data: false, contacts: false }).length > 0;

function openSealed(seal: Seal, sealed: Sealed, holder: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(seal.open(sealed, PURPOSE, holder).toString()) as Record<string, unknown>;
  } catch (error) {
    // the key is no longer available
    if (error instanceof SealBroken) return undefined;
    throw error;
  }
}

/** Creates a problem with the kind and pointer of each secret, but never its value. */
function secretProblem(found: Finding[]): Problem {
  const errors: FieldError[] = found
    .slice(0, MAX_FAULTS)
    .map(({ kind, pointer }) => ({ pointer, detail: `must not contain a secret: ${kind}` }));
  return new Problem('validation', 'The request contains a secret. Remove it and send the request again.', { errors });
}
