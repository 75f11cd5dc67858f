import { z } from 'zod';
import { nameOf } from '../http/name.ts';
import { type FieldError, Problem } from '../http/problem.ts';
import {
  ALL_SUBJECTS,
  type Caller,
  coversAllSubjects,
  isAdmin,
  type Principal,
  requireSubject,
  subjectRequired,
} from './principal.ts';

// Every read route accepts `user_id` and most accept `all_users`. The route replaces its caller with the result of `onBehalf`, so that the
// visible rows depend on that caller alone.

const user_id = nameOf()
  .optional()
  .describe(
    'The user on whose behalf the request is made. The request has access to the private items of this user and to shared items. The default is the caller’s subject. Required for keys with `user_id: "*"`.',
  );

/** The field of a route that acts on one item by its id. */
export const behalf = { user_id };

/** The query fields of a read by GET. */
export const behalfQuery = {
  user_id,
  all_users: z
    .enum(['true', 'false'])
    .transform((word) => word === 'true')
    .optional()
    .describe(
      'Includes the private items of all users. Allowed for admins and for keys with `user_id: "*"`. Writes an audit entry. Cannot be combined with `user_id`.',
    ),
};

/** The body fields of a read by POST. */
export const behalfBody = { user_id, all_users: z.boolean().optional().describe(behalfQuery.all_users.description!) };

export const aboutUser = nameOf().optional().describe('Only items about this user.');

export interface Behalf {
  user_id?: string | undefined;
  all_users?: boolean | undefined;
}

const locationOf = (location: 'parameter' | 'pointer', field: string): Omit<FieldError, 'detail'> =>
  location === 'pointer' ? { pointer: `#/${field}` } : { parameter: field };

export const mayReadAll = (principal: Principal): boolean => coversAllSubjects(principal) || isAdmin(principal);

/** Returns the caller with the visibility of the named user, or of all users. */
export function onBehalf(
  caller: Caller,
  { user_id, all_users }: Behalf,
  location: 'parameter' | 'pointer' = 'parameter',
): Caller {
  const { principal, tenant } = caller;
  if (all_users) {
    if (user_id !== undefined)
      throw new Problem('validation', 'user_id and all_users cannot be combined.', {
        errors: [{ ...locationOf(location, 'all_users'), detail: 'must not be combined with user_id' }],
      });
    if (!mayReadAll(principal))
      throw new Problem('forbidden', 'Only admins and keys for all subjects can read the private items of all users.');
    return { principal: { ...principal, subjects: null, reading: 'all' }, tenant };
  }
  if (user_id === undefined) return caller;
  if (user_id === ALL_SUBJECTS) throw subjectRequired(locationOf(location, 'user_id'));
  requireSubject(principal, user_id);
  return { principal: asSubject(principal, user_id), tenant };
}

/** Returns the principal restricted to one subject. The caller checks that the principal may act for it. */
const asSubject = (principal: Principal, subject: string): Principal => ({
  ...principal,
  subject,
  subjects: [subject],
  reading: 'one',
});

/** Returns the caller of a write for a subject. A key for all subjects is restricted to that user's visibility. */
export const actingFor = ({ principal, tenant }: Caller, subject: string | undefined): Caller => ({
  principal: coversAllSubjects(principal) && subject !== undefined ? asSubject(principal, subject) : principal,
  tenant,
});

/** Throws if a key for all subjects looked up a private item without naming a user. */
export function requireSubjectFor(principal: Principal, item: { channel: string }): void {
  if (lacksSubject(principal) && item.channel === 'private') throw subjectRequired({ parameter: 'user_id' });
}

/** Returns whether the principal is a key for all subjects whose request names neither one user nor all users. */
export const lacksSubject = (principal: Principal): boolean => coversAllSubjects(principal) && principal.reading === undefined;
