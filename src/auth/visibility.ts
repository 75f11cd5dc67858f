import { lacksSubject } from './behalf.ts';
import { type Channel, type FieldLocation, isAdmin, type Principal, requireChannel, subjectRequired } from './principal.ts';

// The visibility rule. Every read binds the three values of a Visibility and filters with the SQL function `visible` before it counts or
// sorts.

/** The rows that a request may see. `subjects`: those whose private items are visible; null: all. */
export interface Visibility {
  channels: Channel[];
  sensitivities: string[];
  subjects: string[] | null;
  /** For a lookup by id: the channels that the credential may use, and whether retracted items are visible. */
  byId?: { allowed: Channel[]; retracted: boolean };
}

export const channels = ['private', 'public', 'team', 'agent'] as const satisfies Channel[];

const visibleChannels: Record<Channel, Channel[]> = {
  public: ['public'],
  team: ['public', 'team'],
  agent: ['public', 'agent'],
  private: ['private', 'public', 'team', 'agent'],
};
const upToLow = ['none', 'low'];
const upToHigh = ['none', 'low', 'high'];
/** Returns the sensitivities that are visible in a channel: none above `low` in channels with a wide audience. */
export const sensitivitiesIn = (channel: Channel): string[] => (channel === 'public' || channel === 'agent' ? upToLow : upToHigh);

/** Returns the visibility of a request in `channel`. `at`: the location of the user's name in the request. */
export function visibilityIn(principal: Principal, channel: Channel, at: FieldLocation = { parameter: 'user_id' }): Visibility {
  requireChannel(principal, channel);
  const seen = visibleChannels[channel];
  if (lacksSubject(principal) && seen.includes('private')) throw subjectRequired(at);
  return {
    channels: seen,
    sensitivities: sensitivitiesIn(channel),
    subjects: lacksSubject(principal) ? [] : principal.subjects,
  };
}

/**
 * Returns the visibility of a lookup by id: everything that is visible in any channel of the credential, and the tombstones of `secret`
 * events. An admin who names no user can look up the items of all users. The caller must pass the items that a key for all subjects finds
 * to `requireSubjectFor`.
 */
export function visibilityById(principal: Principal): Visibility {
  const usable = allowedChannels(principal);
  const seen = new Set(usable.flatMap((channel) => visibleChannels[channel]));
  return {
    channels: [...seen],
    sensitivities: [...(usable.some((channel) => channel === 'team' || channel === 'private') ? upToHigh : upToLow), 'secret'],
    subjects: isAdmin(principal) && principal.reading !== 'one' ? null : principal.subjects,
    byId: { allowed: usable, retracted: isAdmin(principal) },
  };
}

/** Adds retracted items. */
export const withRetracted = (visibility: Visibility): Visibility => ({
  ...visibility,
  ...(visibility.byId && { byId: { ...visibility.byId, retracted: true } }),
});

/** Throws if a key for all subjects has not named a user and its channels include `private`. */
export function requireNamedSubject(principal: Principal): void {
  if (lacksSubject(principal) && allowedChannels(principal).includes('private')) throw subjectRequired({ parameter: 'user_id' });
}

/** Returns the channels that a credential may use. Items that edits block in all of them are hidden from its lookups by id, too. */
export const allowedChannels = ({ channels: own }: Principal): Channel[] => own ?? [...channels];

/**
 * Returns whether an item that is blocked by edits in these channels is hidden from lookups by id. A quarantined item, which is blocked
 * in all four channels, is not hidden.
 */
export const isHiddenById = (blocked: string[] | null, allowed: Channel[]): boolean =>
  blocked !== null && blocked.length < channels.length && allowed.every((channel) => blocked.includes(channel));

/** Returns whether an item that is blocked by edits in these channels is withheld from lists in every channel that the credential may use. */
export const isHiddenInLists = (
  blocked: string[] | null,
  allowed: Channel[],
  item: { channel: Channel; sensitivity: string },
): boolean =>
  blocked !== null &&
  allowed
    .filter((each) => visibleChannels[each].includes(item.channel) && sensitivitiesIn(each).includes(item.sensitivity))
    .every((each) => blocked.includes(each));

/** Returns the visibility rule as SQL over the columns channel, user_id and sensitivity. `first` is the number of the first of three parameters. */
export const visible = (first: number, alias = ''): string =>
  `visible(${alias}channel, ${alias}user_id, ${alias}sensitivity, $${first}::text[], $${first + 1}::text[], $${first + 2}::text[])`;

export const visibilityValues = ({ channels, subjects, sensitivities }: Visibility): unknown[] => [
  channels,
  subjects,
  sensitivities,
];

/** Returns SQL that tests the overlay `o` of an event for lookups by id. `first` is the number of the first of two parameters. */
export const shownById = (first: number): string =>
  `($${first}::boolean or (not coalesce(o.content ? 'withheld', false) and is_shown_by_id(o.blocked_in, $${first + 1}::text[])))`;

/**
 * Returns SQL that tests whether the event `e` of the tenant $1 is withheld from requests in a channel. `channel` is the number or name of
 * its parameter. Retracted and quarantined items are blocked in every channel. The tag and filter conditions of a request must not be
 * evaluated on withheld events: their result would reveal the hidden content.
 */
export const withheldIn = (channel: number | string): string =>
  `exists (select from overlays o where o.tenant_id = $1 and o.seq = e.seq and not is_shown_in(o.blocked_in, $${channel}::text))`;

export const byIdValues = ({ byId }: Visibility): unknown[] => [byId?.retracted ?? false, byId?.allowed ?? channels];
