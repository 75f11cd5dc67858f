import {
  agentOf,
  allowedChannels,
  type Channel,
  type FieldLocation,
  lacksSubject,
  type Principal,
  subjectOf,
  type Visibility,
  visibilityById,
} from '../auth/index.ts';

/** The audience of an object. */
interface Audience {
  channel: Channel;
  user_id?: string;
  agent_id?: string;
  session_id?: string;
  project_id?: string;
}

/** The fields of an audience in a request. */
export type GivenAudience = { [Field in keyof Audience]?: Audience[Field] | undefined };

const fields = ['channel', 'user_id', 'agent_id', 'session_id', 'project_id'] as const;

/**
 * Returns the audience that a new object would get, and the names of the fields that the client sent: those must equal the audience of an
 * existing object. Throws if the caller cannot act for the named user or agent.
 */
export function audienceOf(principal: Principal, given: GivenAudience, at: FieldLocation) {
  const channel = given.channel ?? 'team';
  const user_id = subjectOf(principal, given.user_id, channel === 'private', at);
  const agent_id = agentOf(principal, given.agent_id);
  const { session_id, project_id } = given;
  return {
    audience: { channel, user_id, agent_id, session_id, project_id } as Audience,
    given: fields.filter((field) => given[field] !== undefined),
  };
}

/** Returns the rights of the caller, as the SQL functions expect them. A key for all subjects that names no user sees no private objects. */
export function permissionsOf(principal: Principal) {
  const { channels, subjects } = visibilityById(principal);
  return { channels, subjects: lacksSubject(principal) ? [] : subjects, writable: allowedChannels(principal) };
}

/** Returns the visibility of lists and queries. Unlike a look-up by key, it shows admins the private objects of other users only with `all_users`. */
export const visibilityOfLists = (principal: Principal): Visibility => ({
  ...visibilityById(principal),
  subjects: lacksSubject(principal) ? [] : principal.subjects,
});
