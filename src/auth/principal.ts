import type { Tenant } from '../db/tenant.ts';
import { type Fault, Problem } from '../http/problem.ts';
import { declareFor } from '../http/route.ts';

export type Role = 'owner' | 'admin' | 'member' | 'reader';
export type Scope = 'read' | 'write' | 'admin';
export type Channel = 'private' | 'public' | 'team' | 'agent';

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
  role: Role;
  scopes: Scope[];
  /** The human subject that `user_id` of events and memories defaults to. */
  subject: string;
  /** Whose private items it may read unasked; null: everyone's (a key for `*`). */
  subjects: string[] | null;
  /** Channels it may use; null: all. */
  channels: Channel[] | null;
  /** RFC 3339, null: never. */
  expires_at: string | null;
}

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

/**
 * Whose private items a request may see; null: everyone's. Naming a subject never shows a member more than its own; an admin,
 * who could mint a key for anyone, sees another's private items only by naming them.
 */
export function readableSubjects(principal: Principal, named?: string): string[] | null {
  if (principal.subjects === null) return named === undefined ? null : [named];
  if (named !== undefined && isAdmin(principal)) return [named];
  return principal.subjects;
}

/** A key that acts for every subject. */
export const isForAll = ({ subjects }: Principal): boolean => subjects === null;

/** Throws unless the credential may write for a subject. */
export function requireSubject(principal: Principal, named: string): void {
  if (named === principal.subject || isForAll(principal) || isAdmin(principal)) return;
  throw new Problem('forbidden', `The credential may not write for the subject ${JSON.stringify(named.slice(0, 80))}.`);
}

/**
 * The subject a write is about: the one that is named or, where it must be about someone (`personal`), the credential's own. A key for
 * all subjects has none of its own. `at`: where the request names it.
 */
export function subjectOf(principal: Principal, named: string | undefined, personal: boolean, at: Where): string | undefined {
  if (named === undefined && !personal) return undefined;
  const subject = named ?? principal.subject;
  if (subject === EVERYONE) throw unnamed(at);
  requireSubject(principal, subject);
  return subject;
}

/** What a key for all subjects has as its own. */
export const EVERYONE = '*';
type Where = Omit<Fault, 'detail'>;

export const unnamed = (at: Where): Problem =>
  new Problem('validation', 'A key for all subjects names the user whose private items it reads or writes.', {
    errors: [{ ...at, detail: 'required: the user on whose behalf the key acts' }],
  });

export function requireChannel(principal: Principal, channel: Channel): void {
  if (principal.channels && !principal.channels.includes(channel))
    throw new Problem('forbidden', `The credential may not use the channel "${channel}".`);
}
