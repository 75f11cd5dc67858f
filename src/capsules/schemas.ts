import { z } from 'zod';
import { behalfQuery, channels } from '../auth/index.ts';
import { label, nameOf, onAnyObject } from '../http/name.ts';
import { pageOf } from '../http/page.ts';
import { time } from '../http/time.ts';
import { origin, trust } from '../search/index.ts';
import { compareTimes } from '../time.ts';

const DEFAULT_TTL_S = 7 * 86_400;
const LONGEST_TTL_S = 365 * 86_400;
const MAX_ITEMS = 200;

const name = (about: string) => nameOf().describe(about);
const names = (about: string) => z.array(nameOf()).max(100).describe(about);

const audienceOf = z
  .strictObject({
    agents: names('Subjects (`user_id`) or ids of API keys, or agents to which an admin bound a key (`agent_id`).').optional(),
    users: names('Users, as in `user_id` of events.').optional(),
  })
  .refine(({ agents = [], users = [] }) => agents.length + users.length > 0, 'must name at least one agent or user, or be "all"');

export const capsuleBody = z
  .strictObject({
    title: z.string().min(1).max(200).optional(),
    items: z
      .array(
        z.string().regex(/^(?:evt|chk|mem|art)_[0-9A-Za-z_]{1,64}$/, 'must be the id of an event, passage, memory or artifact'),
      )
      .min(1)
      .max(MAX_ITEMS)
      .describe('Ids of items that the author can read. Readers get them in this order.'),
    audience: z.union([z.literal('all'), audienceOf]).describe('The readers, or `all` for everyone who can use the channel.'),
    ttl_s: z.int().min(1).max(LONGEST_TTL_S).optional().describe(`Lifetime in seconds. The default is ${DEFAULT_TTL_S}.`),
    expires_at: time.optional(),
    risks: z.array(z.string().min(1).max(2000)).max(50).default([]).describe('Caveats for the readers.'),
    channel: z.enum(channels).describe('The channel in which the capsule can be read, as for an event.'),
    user_id: name('The author. The default is the caller’s subject.').optional(),
    agent_id: name('The agent that creates the capsule.').optional(),
    project_id: name('The project that the capsule belongs to.').optional(),
    tags: z.array(label).max(256).default([]).describe('Labels.'),
  })
  .refine(({ ttl_s, expires_at }) => ttl_s === undefined || expires_at === undefined, {
    path: ['expires_at'],
    message: 'must contain at most one of ttl_s and expires_at',
    when: onAnyObject,
  })
  .refine(({ audience, channel }) => audience !== 'all' || channel !== 'private', {
    path: ['channel'],
    message: 'must not be private for the audience "all"',
    when: onAnyObject,
  })
  .meta({ id: 'NewCapsule' });
export type CapsuleBody = z.output<typeof capsuleBody>;

/** Returns when a capsule ends, or undefined if that is in the past or too far in the future. */
export function endOf({ ttl_s, expires_at }: CapsuleBody, now: number): string | undefined {
  const after = (seconds: number) => new Date(now + seconds * 1000).toISOString();
  const end = expires_at ?? after(ttl_s ?? DEFAULT_TTL_S);
  return compareTimes(end, after(0)) > 0 && compareTimes(end, after(LONGEST_TTL_S)) <= 0 ? end : undefined;
}

const item = z
  .object({
    id: z.string(),
    unavailable: z
      .literal(true)
      .optional()
      .describe(
        'True if the item has since been retracted, withheld, erased or deleted, or has expired. All other fields are then absent.',
      ),
    type: z.enum(['event', 'passage', 'memory', 'artifact']).optional(),
    kind: z.string().optional(),
    text: z.string().optional(),
    truncated: z.boolean().optional().describe('True if `text` contains only the beginning.'),
    content: z.record(z.string(), z.unknown()).optional().describe('Content of an event or memory, unless it is large.'),
    status: z.string().optional().describe('Status of a memory: `active`, or `superseded` if it has since been replaced.'),
    scope: z.string().optional(),
    trust: trust.optional(),
    origin: origin.optional().describe('The actor who recorded the item.'),
    media_type: z.string().optional(),
    byte_count: z.int().optional(),
    refs: z.array(z.string()).optional().describe('Ids of its sources.'),
    occurred_at: z.string().optional(),
  })
  .meta({ id: 'CapsuleItem' });
export type CapsuleItem = z.output<typeof item>;

const summary = z.object({
  capsule_id: z.string(),
  seq: z.int().describe('Position of the event that created the capsule.'),
  status: z.enum(['active', 'revoked', 'expired']),
  title: z.string().nullable(),
  risks: z.array(z.string()).describe('Caveats for the readers.'),
  author: z.object({ user_id: z.string().optional(), agent_id: z.string().optional() }),
  audience: z
    .union([z.literal('all'), z.object({ agents: z.array(z.string()), users: z.array(z.string()) })])
    .optional()
    .describe('The readers. Present only for the author and for admins.'),
  channel: z.enum(channels),
  project_id: z.string().optional(),
  tags: z.array(z.string()),
  item_count: z.int(),
  created_at: z.string(),
  expires_at: z.string(),
  revoked_at: z.string().optional(),
});
export const capsule = summary.extend({ items: z.array(item) }).meta({ id: 'Capsule' });
export const capsulePage = pageOf(summary);
export type Summary = z.output<typeof summary>;

export const capsuleParams = z.strictObject({ capsule_id: nameOf() });
export const capsuleList = z.strictObject({
  ...behalfQuery,
  status: z
    .enum(['active', 'revoked', 'expired'])
    .optional()
    .describe('Only capsules with this status. Only the author and admins see revoked and expired capsules.'),
  authored: z
    .enum(['true', 'false'])
    .optional()
    .describe('If true, only capsules that you created. If false, only capsules of others.'),
  limit: z.coerce.number().int().min(1).max(1000).default(50),
  cursor: z.string().max(500).optional(),
});
export type CapsuleList = z.output<typeof capsuleList>;
