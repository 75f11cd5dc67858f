import { z } from 'zod';
import { aboutUser, behalfQuery, channels } from '../auth/index.ts';
import type { Registry } from '../feature.ts';
import { filterParameter } from '../filter/index.ts';
import { label, nameOf, nonBlank, onAnyObject, oneLine } from '../http/name.ts';
import { integerParameter } from '../http/page.ts';
import { time } from '../http/time.ts';

// The wire format of events. Unknown fields of the content are stored unchanged.

const name = (about: string) => nameOf().describe(about);
const channel = z.enum(channels);
const sensitivity = z.enum(['none', 'low', 'high', 'secret']);
const names = (about: string) => z.array(nameOf()).max(256).default([]).describe(about);

const call_id = name('Id of the call. Its result has the same id, so that a context includes both together.').optional();

const contents = {
  message: z.looseObject({ text: z.string().optional() }),
  tool_call: z.looseObject({ tool: oneLine, call_id }),
  tool_result: z.looseObject({
    tool: oneLine,
    call_id,
    excerpt_text: z.string(),
    path: z.string().optional(),
    line_range: z.union([z.string(), z.array(z.number()).length(2)]).optional(),
  }),
  decision: z.looseObject({
    decision: nonBlank,
    rationale: z.array(z.string()).optional(),
    constraints: z.array(z.string()).optional(),
    alternatives: z.array(z.string()).optional(),
    consequences: z.array(z.string()).optional(),
    scope: z.enum(['policy', 'project', 'user', 'session', 'global']).optional(),
    supersedes: nameOf().optional().describe('The event or memory that this decision supersedes.'),
  }),
  task_update: z.looseObject({
    task_id: nameOf().optional(),
    title: nonBlank,
    status: z.enum(['open', 'doing', 'blocked', 'done']),
    details: z.string().optional(),
  }),
  artifact: z.looseObject({}),
};
export const kinds = [
  'message',
  'tool_call',
  'tool_result',
  'decision',
  'task_update',
  'artifact',
] as const satisfies (keyof typeof contents)[];

const shared = {
  session_id: name('The conversation or run that the event belongs to.').default('default'),
  channel: channel.default('private'),
  actor: z
    .strictObject({ type: z.enum(['human', 'agent', 'tool']), id: name('Id of the actor.') })
    .optional()
    .describe('Who acted. The default is the caller. For a key, that is an agent named by `agent_id` or by the name of the key.'),
  text: z.string().optional().describe('Short form of `content.text`.'),
  user_id: name(
    'The user whom the event is about. In the channel private, also its owner, which defaults to the caller’s subject.',
  ).optional(),
  agent_id: name('The agent that the event belongs to.').optional(),
  project_id: name('The project that the event belongs to.').optional(),
  sensitivity: sensitivity.default('none').describe('How sensitive the content is. Content declared `secret` is not stored.'),
  tags: z.array(label).max(256).default([]).describe('Labels.'),
  refs: names('Ids or names of sources. Ids of this service must exist.'),
  metadata: z.record(z.string(), z.unknown()).default({}).describe('Arbitrary JSON of the client.'),
  occurred_at: time.optional().describe('Time of the event. The default is the time of recording.'),
};
type TextFields = { text?: string | undefined; content?: Record<string, unknown> | undefined };
const hasAtMostOneText = ({ text, content }: TextFields) => text === undefined || content?.text === undefined;
const bothTextFields = { path: ['text'], message: 'must not be combined with content.text', when: onAnyObject };
const missing = { message: 'required', when: onAnyObject, abort: true };
const eventOf = <K extends Exclude<keyof typeof contents, 'message'>>(kind: K) =>
  z.strictObject({ ...shared, kind: z.literal(kind), content: contents[kind] }).refine(hasAtMostOneText, bothTextFields);
/** The default kind. */
const plainMessage = z
  .strictObject({ ...shared, kind: z.literal('message').optional().default('message'), content: contents.message.optional() })
  .refine(hasAtMostOneText, bothTextFields)
  // aborts: otherwise the union would report a batch as an event with an unknown field
  .refine(({ text, content }) => text !== undefined || content !== undefined, { path: ['text'], ...missing })
  .refine(({ text, content }) => text !== undefined || content?.text !== undefined || content === undefined, {
    path: ['content', 'text'],
    ...missing,
  });

const newEvent = z
  .discriminatedUnion('kind', [
    plainMessage,
    eventOf('tool_call'),
    eventOf('tool_result'),
    eventOf('decision'),
    eventOf('task_update'),
    eventOf('artifact'),
  ])
  .meta({ id: 'NewEvent' });
export type EventInput = z.output<typeof newEvent>;
type KindAndContent = {
  [K in keyof typeof contents]: { kind: K; content: z.output<(typeof contents)[K]> };
}[keyof typeof contents];
/** An event with its defaults applied. */
export type NewEvent = Omit<EventInput, 'kind' | 'content' | 'text' | 'actor'> & {
  actor: NonNullable<EventInput['actor']>;
} & KindAndContent;

const newEvents = z.strictObject({ events: z.array(newEvent).min(1).max(1000) }).meta({ id: 'NewEvents' });
export const eventsBody = z.union([newEvent, newEvents]);

export const event = z
  .object({
    event_id: z.string(),
    seq: z.int().describe('Position in the log, without gaps, in commit order.'),
    session_id: z.string(),
    channel,
    actor: z.object({ type: z.string(), id: z.string() }).describe('Who acted.'),
    kind: z.string(),
    content: z.record(z.string(), z.unknown()),
    user_id: z.string().optional().describe('The user whom the event is about. In the channel private, also its owner.'),
    agent_id: z.string().optional(),
    project_id: z.string().optional(),
    sensitivity,
    tags: z.array(z.string()),
    refs: z.array(z.string()).describe('Ids or names of sources.'),
    metadata: z.record(z.string(), z.unknown()),
    artifact_id: z.string().optional().describe('The artifact with the whole content, if it is too large for the event.'),
    redactions: z.int().min(1).optional().describe('Number of redacted spans. Absent if nothing was redacted.'),
    chunk_ids: z.array(z.string()).describe('Passages of the event.'),
    occurred_at: z.string(),
    created_at: z.string(),
    edit_ids: z
      .array(z.string())
      .optional()
      .describe('Approved edits that apply to the event. If it is withheld, `content` is `{"withheld": true, "edit_ids": […]}`.'),
  })
  .meta({ id: 'Event' });
export type Event = z.output<typeof event>;

const recorded = z.object({
  event_id: z.string(),
  seq: z.int().describe('Position in the log.'),
  chunk_ids: z.array(z.string()).describe('Passages of the event.'),
  artifact_id: z.string().optional().describe('The artifact with the whole content, if it is too large for the event.'),
  sensitivity,
  redactions: z.int().min(1).optional().describe('Number of redacted spans. Absent if nothing was redacted.'),
  unindexed_bytes: z
    .int()
    .min(1)
    .optional()
    .describe('Bytes of text beyond the first 4 MiB of the event, which search does not cover. Absent if all text is indexed.'),
  created_at: z.string(),
});
export type Recorded = z.output<typeof recorded>;

/** Adds the fields that other features contribute to the answer. */
export const recordedWith = (effects: Registry['effects']) =>
  recorded.extend(Object.assign({}, ...effects.map(([, { fields }]) => fields))).meta({ id: 'Recorded' });

export const listQuery = z.strictObject({
  channel: channel
    .default('private')
    .describe('The audience of the answer, which contains only events that are visible in this channel.'),
  after: integerParameter(0, 1e15).optional().describe('Only events with a greater `seq`.'),
  session_id: name('Only events of this session.').optional(),
  kind: name('Only events of this kind, recorded by clients or by the service.').optional(),
  ...behalfQuery,
  about_user_id: aboutUser,
  agent_id: name('Only events of this agent.').optional(),
  project_id: name('Only events of this project.').optional(),
  tag: label.describe('Only events with this tag.').optional(),
  since: time.optional().describe('Only events that occurred at or after this time.'),
  until: time.optional().describe('Only events that occurred before this time.'),
  filter: filterParameter.optional(),
  order: z.enum(['asc', 'desc']).default('asc').describe('The order of `seq`.'),
  limit: integerParameter(1, 1000).default(50),
  cursor: z.string().max(500).optional(),
});
export type ListQuery = z.output<typeof listQuery>;
