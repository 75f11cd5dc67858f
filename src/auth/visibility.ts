import { lacksSubject } from './behalf.ts';
import { type Channel, type FieldLocation, isAdmin, type Principal, requireChannel, subjectRequired } from './principal.ts';

// Who sees what: one rule, in one place. Every read binds these three and filters with `visible` before anything is counted.

/** What a request may see. `subjects`: whose private items; null: everyone's. */
export interface Visibility {
  channels: Channel[];
  sensitivities: string[];
  subjects: string[] | null;
  /** Of a look-up by id: the channels that the credential may ask in, and whether it is shown what edits have retracted. */
  byId?: { allowed: Channel[]; retracted: boolean };
}

export const channels = ['private', 'public', 'team', 'agent'] as const satisfies Channel[];

const seenFrom: Record<Channel, Channel[]> = {
  public: ['public'],
  team: ['public', 'team'],
  agent: ['public', 'agent'],
  private: ['private', 'public', 'team', 'agent'],
};
const open = ['none', 'low'];
const trusted = ['none', 'low', 'high'];
/** What a request made in this channel is shown of: nothing of high sensitivity where all may read along. */
export const sensitivitiesIn = (channel: Channel): string[] => (channel === 'public' || channel === 'agent' ? open : trusted);

/** The sight of a request made in `channel`. `at`: where it names the user on whose behalf it is made. */
export function visibilityIn(principal: Principal, channel: Channel, at: FieldLocation = { parameter: 'user_id' }): Visibility {
  requireChannel(principal, channel);
  const shown = seenFrom[channel];
  if (lacksSubject(principal) && shown.includes('private')) throw subjectRequired(at);
  return {
    channels: shown,
    sensitivities: sensitivitiesIn(channel),
    subjects: lacksSubject(principal) ? [] : principal.subjects,
  };
}

/**
 * The sight of a look-up by id: whatever the credential may see in any of its channels. A `secret` event is found too, as the
 * tombstone that is all there is of it. An admin who names nobody looks up anyone's; what a key for all subjects finds unnamed goes
 * through `requireSubjectFor`.
 */
export function visibilityById(principal: Principal): Visibility {
  const own = allowedChannels(principal);
  const seen = new Set(own.flatMap((channel) => seenFrom[channel]));
  return {
    channels: [...seen],
    sensitivities: [...(own.some((channel) => channel === 'team' || channel === 'private') ? trusted : open), 'secret'],
    subjects: isAdmin(principal) && principal.reading !== 'one' ? null : principal.subjects,
    byId: { allowed: own, retracted: isAdmin(principal) },
  };
}

/** With what edits have retracted. */
export const withRetracted = (visibility: Visibility): Visibility => ({
  ...visibility,
  ...(visibility.byId && { byId: { ...visibility.byId, retracted: true } }),
});

/** Throws where a key for all subjects has named nobody and asks over all of its channels, `private` among them. */
export function requireNamedSubject(principal: Principal): void {
  if (lacksSubject(principal) && allowedChannels(principal).includes('private')) throw subjectRequired({ parameter: 'user_id' });
}

/** The channels a credential may ask in. What edits block in all of them it does not see by id either. */
export const allowedChannels = ({ channels: own }: Principal): Channel[] => own ?? [...channels];

/** Whether what is blocked in some channels is hidden from a look-up by id. Blocked in all four it is quarantined: read by id alone. */
export const isHiddenById = (blocked: string[] | null, allowed: Channel[]): boolean =>
  blocked !== null && blocked.length < channels.length && allowed.every((channel) => blocked.includes(channel));

/** Whether what is blocked in some channels would be withheld by a list in each channel that a credential may ask in. */
export const isHiddenInLists = (
  blocked: string[] | null,
  allowed: Channel[],
  of: { channel: Channel; sensitivity: string },
): boolean =>
  blocked !== null &&
  allowed
    .filter((each) => seenFrom[each].includes(of.channel) && sensitivitiesIn(each).includes(of.sensitivity))
    .every((each) => blocked.includes(each));

/** The rule in SQL over columns channel, user_id, sensitivity; `first` is the number of the first of three parameters. */
export const visible = (first: number, of = ''): string =>
  `visible(${of}channel, ${of}user_id, ${of}sensitivity, $${first}::text[], $${first + 1}::text[], $${first + 2}::text[])`;

export const visibilityValues = ({ channels, subjects, sensitivities }: Visibility): unknown[] => [
  channels,
  subjects,
  sensitivities,
];

/** What edits leave to a look-up by id, in SQL over the overlay `o` of an event; `first` is the number of the first of two parameters. */
export const shownById = (first: number): string =>
  `($${first}::boolean or (not coalesce(o.content ? 'withheld', false) and is_shown_by_id(o.blocked_in, $${first + 1}::text[])))`;

/**
 * Whether an event `e` of the tenant $1 is withheld from requests in a channel, parameter `channel` by its number or name, in SQL. What is retracted or
 * quarantined is blocked in every channel. No condition of a request is asked of what it is not shown.
 */
export const withheldIn = (channel: number | string): string =>
  `exists (select from overlays o where o.tenant_id = $1 and o.seq = e.seq and not is_shown_in(o.blocked_in, $${channel}::text))`;

export const byIdValues = ({ byId }: Visibility): unknown[] => [byId?.retracted ?? false, byId?.allowed ?? channels];
