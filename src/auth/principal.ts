import type { Tenant } from '../db/tenant.ts';
import { type FieldError, Problem } from '../http/problem.ts';
import { declareFor } from '../http/route.ts';

export type Role = 'owner' | 'admin' | 'member' | 'reader';
export type Scope = 'read' | 'write' | 'admin';
export type Channel = 'private' | 'public' | 'team' | 'agent';

export interface RateLimit {
  max: number;
  window_ms: number;
}

/** What a verified credential is and may do. */
export interface Principal {
  tenant_id: string;
  kind: 'user' | 'key';
  /** `usr_…` or `key_…`: rate limits and Idempotency-Keys are kept by it. */
  id: string;
  /** The user that logged in, or that minted the key. */
  user_id: string;
  /** Of a user only. */
  session_id?: string;
  username?: string;
  /** What its acts are recorded under: of a log-in its subject, of a key its agent or else its name. */
  actor: { type: 'human' | 'agent'; id: string };
  /** Of a key that acts as one agent. */
  agent_id?: string;
  role: Role;
  scopes: Scope[];
  /** The human subject that `user_id` of events and memories defaults to. */
  subject: string;
  /** Whose private items it may read unasked; null: everyone's (a key for `*`). */
  subjects: string[] | null;
  /** A request names on whose behalf it reads: one user’s, or all users’ (src/auth/behalf.ts). */
  reading?: 'one' | 'all';
  /** Channels it may use; null: all. */
  channels: Channel[] | null;
  /** Its own allowance of requests; without one it shares that of its user. */
  rate_limit?: RateLimit;
  /** RFC 3339, null: never. */
  expires_at: string | null;
}

/** Whether it names a credential, and not the service itself. */
export const isPrincipalId = (id: string): boolean => /^(?:usr|key)_/.test(id);

/** What a handler knows of who calls: the credential, and the tenant's only door to the database. */
export interface Caller {
  principal: Principal;
  tenant: Tenant;
}

/** Declares a route that needs a credential. */
export const route = declareFor<Caller>();
/** Declares a route that anyone may call; `caller` is null in it. */
export const openRoute = declareFor<null>();

const ranks: Role[] = ['reader', 'member', 'admin', 'owner'];

/** Owner > admin > member > reader. */
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

/** A key that acts for every subject. */
export const coversAllSubjects = ({ subjects }: Principal): boolean => subjects === null;

/** Throws unless the credential may write for a subject. */
export function requireSubject(principal: Principal, named: string): void {
  if (named === principal.subject || coversAllSubjects(principal) || isAdmin(principal)) return;
  throw new Problem('forbidden', `The credential cannot act for the user ${JSON.stringify(named.slice(0, 80))}.`);
}

/**
 * The subject a write is about: the one that is named or, where it must be about someone (`personal`), the credential's own. A key for
 * all subjects has none of its own. `at`: where the request names it.
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

/** What a key for all subjects has as its own. */
export const ALL_SUBJECTS = '*';
export type FieldLocation = Omit<FieldError, 'detail'>;

export const subjectRequired = (at: FieldLocation): Problem =>
  new Problem('validation', 'A key for all users must name the user whose private items it reads or writes.', {
    errors: [{ ...at, detail: 'required: the user on whose behalf the key acts' }],
  });

/** The agent a request acts as: of a key that acts as one agent it is that one. */
export function agentOf({ agent_id }: Principal, named?: string): string | undefined {
  if (agent_id !== undefined && named !== undefined && named !== agent_id)
    throw new Problem('forbidden', `The credential can act only as the agent ${JSON.stringify(agent_id)}.`);
  return agent_id ?? named;
}

interface Actor {
  type: 'human' | 'agent' | 'tool';
  id: string;
}

/** Who acts: whom the request names, or else the caller. A key that acts as one agent names no other agent. */
export function actorOf(principal: Principal, agent_id?: string, named?: Actor): Actor {
  if (named?.type === 'agent') agentOf(principal, named.id);
  if (named) return named;
  return principal.actor.type === 'agent' && agent_id !== undefined ? { type: 'agent', id: agent_id } : principal.actor;
}

export function requireChannel(principal: Principal, channel: Channel): void {
  if (principal.channels && !principal.channels.includes(channel))
    throw new Problem('forbidden', `The credential cannot use the channel "${channel}".`);
}
