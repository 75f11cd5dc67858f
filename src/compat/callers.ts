import type { IncomingMessage } from 'node:http';
import { type Auth, type Caller, hasCredential, type Principal } from '../auth/index.ts';
import { isLoopbackHost, isLoopbackOrigin } from '../config.ts';
import { Problem } from '../http/problem.ts';

/** The principal of requests without a credential: an agent that belongs to no user. It sees no private object, not even of a user with its name. */
const developerOf = (tenant_id: string): Principal => ({
  tenant_id,
  kind: 'user',
  id: 'usr_dev_mode',
  user_id: 'usr_dev_mode',
  actor: { type: 'agent', id: 'dev-mode' },
  agent_id: 'dev-mode',
  role: 'member',
  scopes: ['read', 'write'],
  subject: 'dev-mode',
  subjects: [],
  channels: null,
  expires_at: null,
});

/** Returns a function that authenticates requests. Their credentials must be of the tenant. */
export const callersOf =
  (auth: Pick<Auth, 'identify'>, tenant_id: string) =>
  async (req: IncomingMessage): Promise<Caller> => {
    const caller = await auth.identify(req);
    if (caller.tenant.id === tenant_id) return caller;
    throw new Problem('forbidden', 'The credential belongs to another tenant than COMPAT_TENANT, which these paths serve.');
  };

/** Returns the same function, except that a request without a credential acts as the developer. Only for DEV_MODE. */
export function devModeCallersOf(auth: Pick<Auth, 'identify' | 'callerOf'>, tenant_id: string) {
  const identify = callersOf(auth, tenant_id);
  const principal = developerOf(tenant_id);
  return async (req: IncomingMessage): Promise<Caller> => {
    if (hasCredential(req)) return identify(req);
    const foreign = foreignHeaderIn(req);
    if (foreign !== undefined)
      throw new Problem('unauthenticated', `Without a credential, a request must come from this machine: ${foreign}.`);
    return auth.callerOf({ principal });
  };
}

/**
 * Returns why the request comes from elsewhere, or undefined. A page of another site whose name was pointed here (DNS rebinding) sends its own name as the
 * host, and any page sends its origin with a write. Many proxies add a header; one that adds none cannot be recognised.
 */
function foreignHeaderIn({ headers }: IncomingMessage): string | undefined {
  if (!isLoopbackHost(headers.host ?? '')) return 'the host of the URL must be localhost, 127.0.0.1 or [::1]';
  if (headers.origin !== undefined && !isLoopbackOrigin(headers.origin)) return 'the header Origin names another site';
  const forwarded = Object.keys(headers).find((name) => /^(?:forwarded|x-forwarded-.*|x-real-ip|via)$/.test(name));
  return forwarded && `the header ${forwarded} is of a proxy`;
}
