import { z } from 'zod';
import { aboutUser, behalf, behalfQuery, channels } from '../auth/index.ts';
import { filterParameter } from '../filter/index.ts';
import { label, nameOf, words } from '../http/name.ts';
import { whole } from '../http/page.ts';
import { time } from '../http/time.ts';
import { withFieldRules } from './field_rules.ts';

// The wire of memories. Each kind has a body of its own fields; what is not known is refused.

const name = (about: string) => nameOf().describe(about);
const names = (about: string) => z.array(nameOf()).max(256).describe(about);
const labels = z.array(label).max(256).describe('free labels');
const sentences = (about: string) => z.array(z.string().min(1).max(16_384)).max(256).describe(about).optional();

export const memoryKinds = ['decision', 'task', 'fact', 'preference', 'rule', 'note', 'summary', 'handoff'] as const;
/** Of the events that change memories. */
export const eventKinds = ['memory.created', 'memory.updated', 'memory.approved', 'memory.rejected', 'memory.deleted'] as const;
const scopes = ['policy', 'project', 'user', 'session', 'global'] as const;
const statuses = ['active', 'proposed', 'rejected', 'superseded', 'deleted', 'expired'] as const;
export type MemoryKind = (typeof memoryKinds)[number];
export type MemoryScope = (typeof scopes)[number];

const measure = {
  subject: name('what it speaks of; another value for the same subject and unit contradicts it').optional(),
  unit: name('what the value counts').optional(),
  value: z.union([z.string().max(4096), z.number(), z.boolean()]).optional(),
};
const claim = z.strictObject({ ...measure, contradicts: names('ids of memories or events that it contradicts').optional() });

export const bodies = {
  decision: z.strictObject({
    rationale: sentences('why'),
    constraints: sentences('what it had to keep to'),
    alternatives: sentences('what was not chosen'),
    consequences: sentences('what follows from it'),
  }),
  task: z.strictObject({
    task_id: name('what further updates name the task by; without one, its text').optional(),
    status: z.enum(['open', 'doing', 'blocked', 'done']).default('open'),
    details: z.string().max(65_536).optional(),
  }),
  fact: claim,
  preference: z.strictObject(measure),
  rule: z.strictObject({
    priority: z.int().min(-1000).max(1000).optional().describe('among rules of a scope; greater comes first, absent is 0'),
  }),
  note: claim,
  summary: claim,
  handoff: z.strictObject({
    to_agent: name('the agent that takes over'),
    problem: words.max(65_536),
    constraints: sentences('what holds'),
    decisions: sentences('what was decided: texts or ids'),
    open_questions: sentences('what is not known yet'),
    refs: names('ids of what the receiver should see').optional(),
  }),
};

const actor = z.strictObject({ type: z.enum(['human', 'agent', 'tool']), id: name('who says so') });
const text = words.max(1_000_000).describe('what is held to be true, in words');
const importance = z.number().min(0).max(1).describe('how much it weighs beside others');
const metadata = z.record(z.string(), z.unknown()).describe('free JSON of the client’s own');
const times = {
  valid_from: time.describe('from when on it holds'),
  valid_to: time.describe('until when it holds'),
  expires_at: time.describe('when it ends by itself; in the future'),
};

const shared = {
  scope: z
    .enum(scopes)
    .optional()
    .describe(
      'its precedence, not who may see it: policy > project > user > session > global; by default project with a project, user for a preference, else global',
    ),
  user_id: name(
    'the user it is about and, in private, its owner; default in private, for preferences and in the scope user: the caller’s subject',
  ).optional(),
  agent_id: name('the agent it belongs to').optional(),
  session_id: name('the session it belongs to').optional(),
  project_id: name('the project it belongs to').optional(),
  channel: z.enum(channels).default('private'),
  sensitivity: z
    .enum(['none', 'low', 'high', 'secret'])
    .default('none')
    .describe('a memory declared `secret` is refused: nothing of it could be kept'),
  tags: labels.default([]),
  refs: names('ids or names of what it rests on; ids of this service must exist').default([]),
  metadata: metadata.default({}),
  importance: importance.optional().describe('0 to 1; by default what its kind has'),
  pinned: z.boolean().default(false).describe('kept by retention'),
  valid_from: times.valid_from.optional(),
  valid_to: times.valid_to.optional(),
  expires_at: times.expires_at.optional(),
  supersedes: name('the memory, or the event of one, that it takes the place of').optional(),
  actor: actor
    .optional()
    .describe('whose words they are; default: the caller; for a key, an agent named by `agent_id` or else by the key’s name'),
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
    memoryOf('handoff').extend({ body: bodies.handoff, text: text.optional().describe('by default the problem of its body') }),
  ]),
).meta({ id: 'NewMemory' });
export type NewMemory = z.output<typeof newMemory>;
/** `only_new`: by If-None-Match, where none may be held that says the same. */
export type MemoryRequest = NewMemory & { only_new?: boolean };

const newMemories = z.strictObject({ memories: z.array(newMemory).min(1).max(1000) }).meta({ id: 'NewMemories' });
export const memoriesBody = z.union([newMemory, newMemories]);

/** A field that is null is taken away, or set to its default, one that is absent stays (RFC 7396). */
export const memoryPatch = z
  .strictObject({
    text: text.optional(),
    body: z
      .record(z.string(), z.unknown())
      .optional()
      .describe('merged with the body that is there; the result must fit the kind'),
    tags: labels.nullable().optional(),
    importance: importance.nullable().optional(),
    pinned: z.boolean().nullable().optional(),
    valid_from: times.valid_from.nullable().optional(),
    valid_to: times.valid_to.nullable().optional(),
    expires_at: times.expires_at.nullable().optional(),
    refs: names('instead of what it rested on').nullable().optional(),
    metadata: metadata.nullable().optional().describe('merged with what is there'),
    actor: actor.optional(),
  })
  .refine((patch) => Object.keys(patch).some((field) => field !== 'actor'), 'must change at least one field')
  .meta({ id: 'MemoryPatch' });
export type MemoryPatch = z.output<typeof memoryPatch>;

const trusts = ['approved', 'stated', 'inferred', 'observed'] as const;

/** Its status, where it is not active, or what else keeps it out of contexts. */
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
    version: z.int(),
    seq: z.int().describe('of the event that made this version'),
    event_id: z.string().describe('the event that holds its content'),
    kind: z.enum(memoryKinds),
    text: z.string().describe('empty once the memory is deleted or what it was made from is erased'),
    body: z.record(z.string(), z.unknown()),
    scope: z.enum(scopes),
    status: z.enum(statuses),
    user_id: z.string().optional().describe('the user it is about; in private, its owner'),
    agent_id: z.string().optional(),
    session_id: z.string().optional(),
    project_id: z.string().optional(),
    channel: z.enum(channels),
    sensitivity: z.enum(['none', 'low', 'high', 'secret']),
    redactions: z.int().min(1).optional().describe('number of spans cut out; absent if there were none'),
    tags: z.array(z.string()),
    metadata: z.record(z.string(), z.unknown()),
    importance: z.number(),
    pinned: z.boolean(),
    valid_from: z.string().optional(),
    valid_to: z.string().optional(),
    expires_at: z.string().optional(),
    refs: z.array(z.string()).describe('what it rests on, the newest 256'),
    ref_count: z.int().describe('of all that it rests on'),
    repeats: z.int().optional().describe('how often its text was said again; beyond 256 times only counted'),
    grounded: z
      .boolean()
      .describe('whether it has a source: an act such as a decision is its own, a claim has those in its refs'),
    stated: z.boolean().describe('whether a context will state it to those who may see it'),
    reason: z.enum(unstatedReasons).optional().describe('why no context will state it'),
    trust: z
      .enum(trusts)
      .describe(
        'approved by an admin, stated by a human who is logged in, inferred by an agent or said to be another’s, observed by a tool',
      ),
    origin: z.object({ type: z.string(), id: z.string() }).describe('whose words they are'),
    marks: z
      .array(z.string())
      .describe(
        'what became of what it rests on, such as `evidence_erased`, or of itself: `retracted` (told to admins), `quarantined`, `blocked` (in some channel)',
      ),
    edit_ids: z.array(z.string()).optional().describe('the approved edits under which it reads as it does'),
    supersedes: z.string().optional(),
    superseded_by: z.string().optional(),
    created_at: z.string(),
    updated_at: z.string(),
  })
  .meta({ id: 'Memory' });
export type Memory = z.output<typeof memory>;

const asOfQuery = {
  as_of: time.optional().describe('as it was believed then'),
  as_of_seq: whole(0, 1e15).optional().describe('as the log held it at that seq'),
};

const asOf = z.strictObject(asOfQuery);
export type AsOf = z.output<typeof asOf>;
export const readQuery = asOf.extend(behalfQuery);

const paging = { limit: whole(1, 1000).default(50), cursor: z.string().max(500).optional() };

export const pageQuery = z.strictObject({ ...paging, ...behalfQuery });
export const writeQuery = z.strictObject(behalf);

export const listQuery = z.strictObject({
  channel: z.enum(channels).default('private'),
  kind: z.enum(memoryKinds).optional(),
  scope: z.enum(scopes).optional(),
  status: z.enum([...statuses, 'any']).default('active'),
  session_id: name('of this session').optional(),
  ...behalfQuery,
  about_user_id: aboutUser,
  agent_id: name('of this agent').optional(),
  project_id: name('of this project').optional(),
  tag: label.describe('with this tag').optional(),
  pinned: z
    .enum(['true', 'false'])
    .transform((word) => word === 'true')
    .optional(),
  since: time.optional().describe('made at or after'),
  until: time.optional().describe('made before'),
  filter: filterParameter.optional(),
  ...asOfQuery,
  order: z.enum(['asc', 'desc']).default('desc').describe('by when they were made; newest first'),
  ...paging,
});
export type ListQuery = z.output<typeof listQuery>;

export const memoryParams = z.strictObject({ memory_id: nameOf() });
