import { z } from 'zod';
import { aboutUser, behalf, behalfQuery, channels } from '../auth/index.ts';
import { filterParameter } from '../filter/index.ts';
import { label, nameOf, nonBlank } from '../http/name.ts';
import { integerParameter } from '../http/page.ts';
import { time } from '../http/time.ts';
import { withFieldRules } from './field_rules.ts';

// Requests and responses about memories. Each kind has its own body fields; unknown fields are rejected.

const name = (about: string) => nameOf().describe(about);
const names = (about: string) => z.array(nameOf()).max(256).describe(about);
const labels = z.array(label).max(256).describe('Labels.');
const sentences = (about: string) => z.array(z.string().min(1).max(16_384)).max(256).describe(about).optional();

export const memoryKinds = ['decision', 'task', 'fact', 'preference', 'rule', 'note', 'summary', 'handoff'] as const;
/** Kinds of the events that change memories. */
export const eventKinds = ['memory.created', 'memory.updated', 'memory.approved', 'memory.rejected', 'memory.deleted'] as const;
const scopes = ['policy', 'project', 'user', 'session', 'global'] as const;
const statuses = ['active', 'proposed', 'rejected', 'superseded', 'deleted', 'expired'] as const;
export type MemoryKind = (typeof memoryKinds)[number];
export type MemoryScope = (typeof scopes)[number];

const measure = {
  subject: name(
    'The subject of the statement. Two statements with the same subject and unit but different values contradict each other.',
  ).optional(),
  unit: name('Unit of the value.').optional(),
  value: z.union([z.string().max(4096), z.number(), z.boolean()]).optional(),
};
const claim = z.strictObject({
  ...measure,
  contradicts: names('Ids of memories or events that the statement contradicts.').optional(),
});

export const bodies = {
  decision: z.strictObject({
    rationale: sentences('Reasons for the decision.'),
    constraints: sentences('Constraints on the decision.'),
    alternatives: sentences('Rejected alternatives.'),
    consequences: sentences('Consequences of the decision.'),
  }),
  task: z.strictObject({
    task_id: name('Id of the task, for further updates. The default is its text.').optional(),
    status: z.enum(['open', 'doing', 'blocked', 'done']).default('open'),
    details: z.string().max(65_536).optional(),
  }),
  fact: claim,
  preference: z.strictObject(measure),
  rule: z.strictObject({
    priority: z
      .int()
      .min(-1000)
      .max(1000)
      .optional()
      .describe('Order among the rules of a scope. Greater values come first. The default is 0.'),
  }),
  note: claim,
  summary: claim,
  handoff: z.strictObject({
    to_agent: name('The agent that takes over.'),
    problem: nonBlank.max(65_536),
    constraints: sentences('Constraints that apply.'),
    decisions: sentences('Decisions, as texts or ids.'),
    open_questions: sentences('Open questions.'),
    refs: names('Ids of items that the receiver should read.').optional(),
  }),
};

const actor = z.strictObject({ type: z.enum(['human', 'agent', 'tool']), id: name('Id of the actor.') });
const text = nonBlank.max(1_000_000).describe('The statement, as text.');
const importance = z.number().min(0).max(1).describe('Weight relative to other memories, from 0 to 1.');
const metadata = z.record(z.string(), z.unknown()).describe('Arbitrary JSON of the client.');
const times = {
  valid_from: time.describe('Time from which the statement is valid.'),
  valid_to: time.describe('Time until which the statement is valid.'),
  expires_at: time.describe('Time at which the memory expires. Must be in the future.'),
};

const shared = {
  scope: z
    .enum(scopes)
    .optional()
    .describe(
      'Precedence among memories: policy > project > user > session > global. Does not affect visibility. The default is project if `project_id` is present, user for a preference, and global otherwise.',
    ),
  user_id: name(
    'The user whom the memory is about. In the channel private, also its owner. Defaults to the caller’s subject in the channel private, for preferences and in the scope user.',
  ).optional(),
  agent_id: name('The agent that the memory belongs to.').optional(),
  session_id: name('The session that the memory belongs to.').optional(),
  project_id: name('The project that the memory belongs to.').optional(),
  channel: z.enum(channels).default('private'),
  sensitivity: z
    .enum(['none', 'low', 'high', 'secret'])
    .default('none')
    .describe('How sensitive the memory is. A memory declared `secret` is rejected.'),
  tags: labels.default([]),
  refs: names('Ids or names of sources. Ids of this service must exist.').default([]),
  metadata: metadata.default({}),
  importance: importance.optional().describe('Weight relative to other memories, from 0 to 1. The default depends on the kind.'),
  pinned: z.boolean().default(false).describe('If true, the retention policy does not remove the memory.'),
  valid_from: times.valid_from.optional(),
  valid_to: times.valid_to.optional(),
  expires_at: times.expires_at.optional(),
  supersedes: name('Id of the memory that this one replaces, or of an event of that memory.').optional(),
  actor: actor
    .optional()
    .describe(
      'Who makes the statement. The default is the caller. For a key, that is an agent named by `agent_id` or by the name of the key.',
    ),
};

const memoryOf = <K extends MemoryKind>(kind: K) => z.strictObject({ ...shared, kind: z.literal(kind), text });
export const newMemory = withFieldRules(
  z.discriminatedUnion('kind', [
    memoryOf('decision').extend({ body: bodies.decision.prefault({}) }),
    memoryOf('task').extend({ body: bodies.task.prefault({}) }),
    memoryOf('fact').extend({ body: bodies.fact.prefault({}) }),
    memoryOf('preference').extend({ body: bodies.preference.prefault({}) }),
    memoryOf('rule').extend({ body: bodies.rule.prefault({}) }),
    memoryOf('note').extend({ kind: z.literal('note').optional().default('note'), body: bodies.note.prefault({}) }),
    memoryOf('summary').extend({ body: bodies.summary.prefault({}) }),
    memoryOf('handoff').extend({
      body: bodies.handoff,
      text: text.optional().describe('The statement, as text. The default is `body.problem`.'),
    }),
  ]),
).meta({ id: 'NewMemory' });
export type NewMemory = z.output<typeof newMemory>;
/** `only_new`: from `If-None-Match: *`, fail if an active memory has the same content. */
export type MemoryRequest = NewMemory & { only_new?: boolean };

const newMemories = z.strictObject({ memories: z.array(newMemory).min(1).max(1000) }).meta({ id: 'NewMemories' });
export const memoriesBody = z.union([newMemory, newMemories]);

/** A null field is removed or reset to its default, an absent field is unchanged (RFC 7396). */
export const memoryPatch = z
  .strictObject({
    text: text.optional(),
    body: z
      .record(z.string(), z.unknown())
      .optional()
      .describe('Merged with the current body. The result must be valid for the kind.'),
    tags: labels.nullable().optional(),
    importance: importance.nullable().optional(),
    pinned: z.boolean().nullable().optional(),
    valid_from: times.valid_from.nullable().optional(),
    valid_to: times.valid_to.nullable().optional(),
    expires_at: times.expires_at.nullable().optional(),
    refs: names('Replaces the sources.').nullable().optional(),
    metadata: metadata.nullable().optional().describe('Merged with the current metadata.'),
    actor: actor.optional(),
  })
  .refine((patch) => Object.keys(patch).some((field) => field !== 'actor'), 'must change at least one field')
  .meta({ id: 'MemoryPatch' });
export type MemoryPatch = z.output<typeof memoryPatch>;

const trusts = ['approved', 'stated', 'inferred', 'observed'] as const;

/** The status of a memory that is not active, or another reason why contexts omit it. */
const unstatedReasons = [
  'proposed',
  'rejected',
  'superseded',
  'deleted',
  'expired',
  'secret',
  'hidden',
  'not_valid',
  'ungrounded',
] as const;

export const memory = z
  .object({
    memory_id: z.string(),
    version: z.int().describe('Increases with each change, from 1. The `ETag` contains it.'),
    seq: z.int().describe('Position of the event that created this version.'),
    event_id: z.string().describe('The event that created this version, at `seq`.'),
    kind: z.enum(memoryKinds),
    text: z.string().describe('The statement. Empty after the memory was deleted or its event was erased.'),
    body: z
      .record(z.string(), z.unknown())
      .describe('The fields that the kind adds to the text, such as `rationale` of a decision.'),
    scope: z
      .enum(scopes)
      .describe('Precedence among memories: policy > project > user > session > global. Does not affect visibility.'),
    status: z.enum(statuses),
    user_id: z.string().optional().describe('The user whom the memory is about. In the channel private, also its owner.'),
    agent_id: z.string().optional(),
    session_id: z.string().optional(),
    project_id: z.string().optional(),
    channel: z.enum(channels),
    sensitivity: z.enum(['none', 'low', 'high', 'secret']),
    redactions: z.int().min(1).optional().describe('Number of redacted spans. Absent if nothing was redacted.'),
    tags: z.array(z.string()),
    metadata: z.record(z.string(), z.unknown()),
    importance,
    pinned: z.boolean().describe('If true, the retention policy does not remove the memory.'),
    valid_from: z.string().optional().describe(times.valid_from.description!),
    valid_to: z.string().optional().describe(times.valid_to.description!),
    expires_at: z.string().optional(),
    refs: z.array(z.string()).describe('Ids of the latest 256 sources.'),
    ref_count: z.int().describe('Number of all sources.'),
    repeats: z
      .int()
      .optional()
      .describe('Number of times that the same text was recorded again. After 256 repetitions, only this counter increases.'),
    grounded: z
      .boolean()
      .describe(
        'True if the memory has a source. A claim has its sources in `refs`. An act such as a decision is its own source.',
      ),
    stated: z.boolean().describe('True if contexts include the memory for callers who can read it.'),
    reason: z.enum(unstatedReasons).optional().describe('Why contexts do not include the memory.'),
    trust: z
      .enum(trusts)
      .describe(
        '`approved` by an admin, `stated` by a human who is logged in, `inferred` by an agent or on behalf of another actor, or `observed` by a tool.',
      ),
    origin: z.object({ type: z.string(), id: z.string() }).describe('Who made the statement.'),
    marks: z
      .array(z.string())
      .describe(
        'Marks on the memory, such as `evidence_erased` if a source was erased, `retracted` (visible to admins), `quarantined`, or `blocked` in a channel.',
      ),
    edit_ids: z.array(z.string()).optional().describe('Approved edits that apply to the memory.'),
    supersedes: z.string().optional().describe('Id of the memory that this one replaced.'),
    superseded_by: z.string().optional().describe('Id of the memory that replaced this one.'),
    created_at: z.string(),
    updated_at: z.string(),
  })
  .meta({ id: 'Memory' });
export type Memory = z.output<typeof memory>;

const asOfQuery = {
  as_of: time.optional().describe('The state at this time.'),
  as_of_seq: integerParameter(0, 1e15).optional().describe('The state at this position of the log.'),
};

const asOf = z.strictObject(asOfQuery);
export type AsOf = z.output<typeof asOf>;
export const readQuery = asOf.extend(behalfQuery);

const paging = { limit: integerParameter(1, 1000).default(50), cursor: z.string().max(500).optional() };

export const pageQuery = z.strictObject({ ...paging, ...behalfQuery });
export const writeQuery = z.strictObject(behalf);

export const listQuery = z.strictObject({
  channel: z
    .enum(channels)
    .default('private')
    .describe('The audience of the answer, which contains only memories that are visible in this channel.'),
  kind: z.enum(memoryKinds).optional(),
  scope: z.enum(scopes).optional(),
  status: z.enum([...statuses, 'any']).default('active'),
  session_id: name('Only memories of this session.').optional(),
  ...behalfQuery,
  about_user_id: aboutUser,
  agent_id: name('Only memories of this agent.').optional(),
  project_id: name('Only memories of this project.').optional(),
  tag: label.describe('Only memories with this tag.').optional(),
  pinned: z
    .enum(['true', 'false'])
    .transform((word) => word === 'true')
    .optional(),
  since: time.optional().describe('Only memories created at or after this time.'),
  until: time.optional().describe('Only memories created before this time.'),
  filter: filterParameter.optional(),
  ...asOfQuery,
  order: z.enum(['asc', 'desc']).default('desc').describe('The order of creation. The default is newest first.'),
  ...paging,
});
export type ListQuery = z.output<typeof listQuery>;

export const memoryParams = z.strictObject({ memory_id: nameOf() });
