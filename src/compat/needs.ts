import type { IncomingMessage } from 'node:http';
import type { Caller } from '../auth/index.ts';
import type { Parts } from '../feature.ts';
import type { Use } from '../http/capability.ts';
import type { writeLimitsOf } from '../state/index.ts';

// The common members of the routes.

export interface Needs {
  /** Returns the caller of a request about objects or leases. */
  identify(req: IncomingMessage): Promise<Caller>;
  limitsOf: ReturnType<typeof writeLimitsOf>;
  follow: Parts['follow'];
}

export const tagged = { tag: 'AgentState', limit: 'v1' } as const;

/** Returns the operation of a request for one namespace, which a capability must permit. */
export const useOf =
  (op: Use['op']) =>
  ({ params: { namespace } }: { params: { namespace: string } }): Use[] => [{ op, namespace }];
