import type { IncomingMessage } from 'node:http';
import { type Auth, type Caller, hasCredential, type Principal } from '../auth/index.ts';
import { Problem } from '../http/problem.ts';

/** The principal of requests without a credential: an agent that belongs to no user. */
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
  subjects: ['dev-mode'],
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
    if (!isLocal(req))
      throw new Problem('unauthenticated', 'Without a credential, the host of the URL must be localhost, 127.0.0.1 or [::1].');
    return auth.callerOf({ principal });
  };
}

/** Whether the request names this machine. A page of another site whose name was pointed here (DNS rebinding) sends its own name. */
const isLocal = ({ headers: { host = '' } }: IncomingMessage): boolean =>
  /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i.test(host);
