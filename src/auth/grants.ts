import { Problem } from '../http/problem.ts';
import { compareTimes } from '../time.ts';
import { type Channel, isAdmin, outranks, type Principal, type RateLimit, type Role, type Scope } from './principal.ts';

// The rules for creating keys, users, invites and resets: nobody can grant more authority than they have.

/** Returns the scopes that a role can have. */
export function scopesWithin(role: Role): Scope[] {
  if (role === 'reader') return ['read'];
  return outranks(role, 'member') ? ['read', 'write', 'admin'] : ['read', 'write'];
}

export interface Grant {
  role: Role;
  scopes: Scope[];
  /** A subject, or `*` for all subjects. */
  user_id: string;
  channels: Channel[] | null;
  expires_at: string | null;
  agent_id: string | null;
  rate_limit: RateLimit | null;
}

/** Throws unless `creator` may create such a key. */
export function assertGrantable(creator: Principal, grant: Grant): void {
  const impossible = grant.scopes.find((scope) => !scopesWithin(grant.role).includes(scope));
  if (impossible)
    throw new Problem('validation', `A key with the role "${grant.role}" cannot have the scope "${impossible}".`, {
      errors: [
        {
          pointer: '#/scopes',
          detail: `must be among the scopes of the role ${grant.role}: ${scopesWithin(grant.role).join(', ')}`,
        },
      ],
    });
  const excess = excessOf(creator, grant);
  if (excess) throw new Problem('forbidden', `A key cannot have more permissions than its creator: ${excess}.`);
}

function excessOf(creator: Principal, grant: Grant): string | undefined {
  if (creator.role === 'reader') return 'readers cannot create keys';
  if (outranks(grant.role, creator.role)) return `the role "${grant.role}" is above the role of the creator`;
  const scope = grant.scopes.find((each) => !creator.scopes.includes(each));
  if (scope) return `the creator does not have the scope "${scope}"`;
  if (!mayActFor(creator, grant.user_id)) return 'the creator may act only for its own subject';
  if (!channelsWithin(creator.channels, grant.channels)) return 'the creator may not use all of these channels';
  if (creator.agent_id !== undefined && grant.agent_id !== creator.agent_id) return 'the creator may act only as its own agent';
  if (grant.rate_limit !== null && !isAdmin(creator)) return 'only an admin can set a rate limit';
  if (!expiresWithin(creator, grant.expires_at)) return 'the creator’s own key expires earlier';
  return undefined;
}

/** A logged-in admin can name any subject. A key can name only its own subject, unless it acts for all subjects. */
function mayActFor(creator: Principal, user_id: string): boolean {
  if (creator.subjects === null || user_id === creator.subject) return true;
  return creator.kind === 'user' && isAdmin(creator);
}

const channelsWithin = (creator: Channel[] | null, key: Channel[] | null): boolean =>
  creator === null || key?.every((channel) => creator.includes(channel)) === true;

/** The expiry of an access token does not bound the new key, because access tokens are always short-lived. The expiry of a key does. */
function expiresWithin(creator: Principal, expires_at: string | null): boolean {
  if (creator.kind === 'user' || creator.expires_at === null) return true;
  return expires_at !== null && compareTimes(expires_at, creator.expires_at) <= 0;
}

/**
 * Throws if the principal is a key. Users, invites and resets outlive the channels, scopes and expiry that bind a key, so only a logged-in
 * user can create or change them.
 */
export function assertPerson({ kind }: Principal): void {
  if (kind !== 'user') throw new Problem('forbidden', 'API keys cannot do this; log in as a user.');
}

/** Throws if the role is above the role of `actor`. */
export function assertNotAbove(actor: Principal, role: Role): void {
  if (outranks(role, actor.role))
    throw new Problem('forbidden', `The role "${role}" is higher than the role of your credential.`);
}
