import type { Tenant } from '../db/tenant.ts';
import type { Capability } from '../http/capability.ts';
import { type FieldError, Problem } from '../http/problem.ts';
import { declareFor } from '../http/route.ts';

export type Role = 'owner' | 'admin' | 'member' | 'reader';
export type Scope = 'read' | 'write' | 'admin';
export type Channel = 'private' | 'public' | 'team' | 'agent';

export interface RateLimit {
  max: number;
  window_ms: number;
}

/** The identity and permissions of a verified credential. */
export interface Principal {
  tenant_id: string;
  kind: 'user' | 'key' | 'capability';
  /** `usr_…`, `key_…` or, for a capability, `jti_…`. Rate limits and idempotency keys are counted per id. */
  id: string;
  /** The user that logged in, or that created the key or capability. */
  user_id: string;
  /** Set for users only. */
  session_id?: string;
  username?: string;
  /** The default actor of its events: the subject of a user; the agent, or else the name, of a key. */
  actor: { type: 'human' | 'agent'; id: string };
  /** The agent of a key or capability that acts as one agent. */
  agent_id?: string;
  role: Role;
  scopes: Scope[];
  /** The default `user_id` of its events and memories. */
  subject: string;
  /** Subjects whose private items it can read by default; null: all subjects (a key for `*`). */
  subjects: string[] | null;
  /** Set if the request is on behalf of one user or of all users (src/auth/behalf.ts). */
  reading?: 'one' | 'all';
  /** Channels that it may use; null: all. */
  channels: Channel[] | null;
  /** Its own rate limit; without one it shares the limit of its user. */
  rate_limit?: RateLimit;
  /** The key with a rate limit that it shares. Set for capabilities only. */
  payer?: string;
  /** RFC 3339; null: never. */
  expires_at: string | null;
}

/** Returns whether the id is that of a user, key or capability, not of the service itself. */
export const isPrincipalId = (id: string): boolean => /^(?:usr|key|jti)_/.test(id);

/** The requirements of a signature beyond the identity of its key. */
interface SignedRequest {
  /** SHA-256 that the body must have. */
  digest: Buffer;
  /** Claims the nonce of the request. Throws `unauthenticated` if the key has used it before, or has ended. */
  claim(): Promise<void>;
}

/** The result of authentication. */
export interface Identity {
  principal: Principal;
  signed?: SignedRequest;
  /** The limits of a capability. */
  capability?: Capability;
}

/** The credential of a request, and the access to the database within its tenant. */
export interface Caller extends Identity {
  tenant: Tenant;
}

export const unauthenticated = (detail: string): Problem =>
  new Problem('unauthenticated', detail, {
    headers: { 'WWW-Authenticate': 'Bearer realm="agent-memory", error="invalid_token"' },
  });

export const invalidCredential = (): Problem => unauthenticated('The credential is invalid, expired or revoked.');

/** Declares a route that requires a credential. */
export const route = declareFor<Caller>();
/** Declares a route without authentication; its `caller` is null. */
export const openRoute = declareFor<null>();

const ranks: Role[] = ['reader', 'member', 'admin', 'owner'];

/** Compares roles: owner > admin > member > reader. */
export const outranks = (a: Role, b: Role): boolean => ranks.indexOf(a) > ranks.indexOf(b);

export const isAdmin = (principal: Principal): boolean =>
  outranks(principal.role, 'member') && principal.scopes.includes('admin');

export function authorize({ principal }: Caller, access: Scope): void {
  const allowed =
    principal.scopes.includes(access) &&
    (access !== 'admin' || isAdmin(principal)) &&
    (access !== 'write' || principal.role !== 'reader');
  if (!allowed) throw new Problem('forbidden', `The credential lacks the scope "${access}".`);
}

/** Returns whether the principal is a key for all subjects. */
export const coversAllSubjects = ({ subjects }: Principal): boolean => subjects === null;

/** Throws unless the principal may act for the subject. */
export function requireSubject(principal: Principal, named: string): void {
  if (named === principal.subject || coversAllSubjects(principal) || isAdmin(principal)) return;
  throw new Problem('forbidden', `The credential cannot act for the user ${JSON.stringify(named.slice(0, 80))}.`);
}

/**
 * Returns the subject of a write: the named one, or the principal's own if the item must have one (`personal`). A key for all subjects has
 * no default. `at`: the location of the name in the request.
 */
export function subjectOf(
  principal: Principal,
  named: string | undefined,
  personal: boolean,
  at: FieldLocation,
): string | undefined {
  if (named === undefined && !personal) return undefined;
  const subject = named ?? principal.subject;
  if (subject === ALL_SUBJECTS) throw subjectRequired(at);
  requireSubject(principal, subject);
  return subject;
}

/** The `subject` of a key for all subjects. */
export const ALL_SUBJECTS = '*';
export type FieldLocation = Omit<FieldError, 'detail'>;

export const subjectRequired = (at: FieldLocation): Problem =>
  new Problem('validation', 'A request with a key for all subjects must name the user whose private items it reads or writes.', {
    errors: [{ ...at, detail: 'required: the user on whose behalf the key acts' }],
  });

/** Returns the agent of a request. Throws if a key that acts as one agent names another. */
export function agentOf({ agent_id }: Principal, named?: string): string | undefined {
  if (agent_id !== undefined && named !== undefined && named !== agent_id)
    throw new Problem('forbidden', `The credential can act only as the agent ${JSON.stringify(agent_id)}.`);
  return agent_id ?? named;
}

interface Actor {
  type: 'human' | 'agent' | 'tool';
  id: string;
}

/** Returns the actor of a request: the named one, or the caller. Throws if a key that acts as one agent names another agent. */
export function actorOf(principal: Principal, agent_id?: string, named?: Actor): Actor {
  if (named?.type === 'agent') agentOf(principal, named.id);
  if (named) return named;
  return principal.actor.type === 'agent' && agent_id !== undefined ? { type: 'agent', id: agent_id } : principal.actor;
}

export function requireChannel(principal: Principal, channel: Channel): void {
  if (principal.channels && !principal.channels.includes(channel))
    throw new Problem('forbidden', `The credential cannot use the channel "${channel}".`);
}
