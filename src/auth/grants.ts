import { Problem } from '../http/problem.ts';
import { compareTimes } from '../time.ts';
import { type Channel, isAdmin, outranks, type Principal, type RateLimit, type Role, type Scope } from './principal.ts';

// Authority only shrinks when it is handed on: here is what may be given, by whom.

/** All that a role may ever do. */
export function scopesWithin(role: Role): Scope[] {
  if (role === 'reader') return ['read'];
  return outranks(role, 'member') ? ['read', 'write', 'admin'] : ['read', 'write'];
}

export interface Grant {
  role: Role;
  scopes: Scope[];
  /** A subject, or * for every one. */
  user_id: string;
  channels: Channel[] | null;
  expires_at: string | null;
  agent_id: string | null;
  rate_limit: RateLimit | null;
}

/** Throws unless the minter may make such a key. */
export function assertGrantable(minter: Principal, wanted: Grant): void {
  const impossible = wanted.scopes.find((scope) => !scopesWithin(wanted.role).includes(scope));
  if (impossible)
    throw new Problem('validation', `A key with the role "${wanted.role}" cannot have the scope "${impossible}".`, {
      errors: [{ pointer: '#/scopes', detail: `the role ${wanted.role} has ${scopesWithin(wanted.role).join(', ')}` }],
    });
  const excess = excessOf(minter, wanted);
  if (excess) throw new Problem('forbidden', `A key cannot have more permissions than its creator: ${excess}.`);
}

function excessOf(minter: Principal, wanted: Grant): string | undefined {
  if (minter.role === 'reader') return 'readers make no keys';
  if (outranks(wanted.role, minter.role)) return `the role "${wanted.role}" is above the maker’s`;
  const scope = wanted.scopes.find((each) => !minter.scopes.includes(each));
  if (scope) return `the maker does not have the scope "${scope}"`;
  if (!mayActFor(minter, wanted.user_id)) return 'the maker may act for its own subject only';
  if (!channelsWithin(minter.channels, wanted.channels)) return 'the maker may not use all of these channels';
  if (minter.agent_id !== undefined && wanted.agent_id !== minter.agent_id) return 'the maker acts as one agent only';
  if (wanted.rate_limit !== null && !isAdmin(minter)) return 'only an admin may give a key a limit of its own';
  if (!expiresWithin(minter, wanted.expires_at)) return 'the maker expires earlier';
  return undefined;
}

/** A person with admin rights may name anyone; a key names its own subject, unless it is one for all. */
function mayActFor(minter: Principal, user_id: string): boolean {
  if (minter.subjects === null || user_id === minter.subject) return true;
  return minter.kind === 'user' && isAdmin(minter);
}

const channelsWithin = (own: Channel[] | null, wanted: Channel[] | null): boolean =>
  own === null || wanted?.every((channel) => own.includes(channel)) === true;

/** A person's access token is short-lived by nature and bounds nothing; a key's expiry does. */
function expiresWithin(minter: Principal, expires_at: string | null): boolean {
  if (minter.kind === 'user' || minter.expires_at === null) return true;
  return expires_at !== null && compareTimes(expires_at, minter.expires_at) <= 0;
}

/**
 * Throws for a key: people, invites and resets outlive the channels, scopes and expiry that a key is bound to, so only someone
 * who is logged in makes them.
 */
export function assertPerson({ kind }: Principal): void {
  if (kind !== 'user') throw new Problem('forbidden', 'API keys cannot do this; log in as a user.');
}

/** Throws where someone would act on, or make, someone above themselves. */
export function assertNotAbove(actor: Principal, role: Role): void {
  if (outranks(role, actor.role))
    throw new Problem('forbidden', `The role "${role}" is higher than the role of your credential.`);
}
