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

// On whose behalf a read is made. Every route that reads takes these two and goes on with the caller that `onBehalf` answers, so that
// what is seen depends on that caller alone.

const user_id = nameOf()
  .optional()
  .describe(
    'The user on whose behalf the request is made. The request has access to the private items of this user and to shared items. The default is the caller’s subject. Required for keys with `user_id: "*"`.',
  );

/** Of a route that acts on one thing by its id. */
export const behalf = { user_id };

/** Of a GET. */
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

/** Of a read by POST. */
export const behalfBody = { user_id, all_users: z.boolean().optional().describe(behalfQuery.all_users.description!) };

export const aboutUser = nameOf().optional().describe('Only items about this user.');

export interface Behalf {
  user_id?: string | undefined;
  all_users?: boolean | undefined;
}

const placeOf = (place: 'parameter' | 'pointer', field: string): Omit<FieldError, 'detail'> =>
  place === 'pointer' ? { pointer: `#/${field}` } : { parameter: field };

export const mayReadAll = (principal: Principal): boolean => coversAllSubjects(principal) || isAdmin(principal);

/** The caller as one who reads for someone: with the sight of that user, or of everyone. */
export function onBehalf(caller: Caller, { user_id, all_users }: Behalf, place: 'parameter' | 'pointer' = 'parameter'): Caller {
  const { principal, tenant } = caller;
  if (all_users) {
    if (user_id !== undefined)
      throw new Problem('validation', 'user_id and all_users cannot be combined.', {
        errors: [{ ...placeOf(place, 'all_users'), detail: 'must not be combined with user_id' }],
      });
    if (!mayReadAll(principal))
      throw new Problem('forbidden', 'Only admins and keys for all users can read the private items of all users.');
    return { principal: { ...principal, subjects: null, reading: 'all' }, tenant };
  }
  if (user_id === undefined) return caller;
  if (user_id === ALL_SUBJECTS) throw subjectRequired(placeOf(place, 'user_id'));
  requireSubject(principal, user_id);
  return { principal: asSubject(principal, user_id), tenant };
}

/** The principal as one who acts for a subject that it may act for. */
const asSubject = (principal: Principal, subject: string): Principal => ({
  ...principal,
  subject,
  subjects: [subject],
  reading: 'one',
});

/** The caller as it writes for a subject: a key for all subjects sees no more than that user. */
export const actingFor = ({ principal, tenant }: Caller, subject: string | undefined): Caller => ({
  principal: coversAllSubjects(principal) && subject !== undefined ? asSubject(principal, subject) : principal,
  tenant,
});

/** Throws where a key for all subjects has named nobody, and found what is private to someone. */
export function requireSubjectFor(principal: Principal, found: { channel: string }): void {
  if (lacksSubject(principal) && found.channel === 'private') throw subjectRequired({ parameter: 'user_id' });
}

/** A key for all subjects that reads neither for one nor for all of them. */
export const lacksSubject = (principal: Principal): boolean => coversAllSubjects(principal) && principal.reading === undefined;
