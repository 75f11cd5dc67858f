/** The operations that a capability can permit. */
export const capabilityOps = ['PUT', 'GET', 'DELETE', 'WATCH', 'LEASE', 'ADMIN'] as const;
export type CapabilityOp = (typeof capabilityOps)[number];

/** An operation of a request, which a capability must permit. */
export interface Use {
  op: CapabilityOp;
  /** A namespace or the key of a lease; null: the operation concerns no namespace; undefined: all namespaces of the tenant. */
  namespace: string | null | undefined;
}

/** The limits of a request that is authenticated by a capability. */
export interface Capability {
  /** Largest body in bytes; undefined: only the limit of the route applies. */
  maxBytes: number | undefined;
  /** Throws `forbidden` unless it permits all these operations. */
  assertCovers(uses: Use[]): void;
  /** Throws `region` outside its regions. Counts a request against its own rate limit, or returns undefined if it has none. Throws `rate-limited`. */
  admit(): Promise<void> | undefined;
}
