import { z } from 'zod';
import { channels } from '../auth/index.ts';
import { time } from '../http/time.ts';
import { policyBody } from '../retention/index.ts';
import { tenantSettings } from '../tenants/index.ts';
import { FORMAT_VERSION } from './whole.ts';

// The lines of an export, as an import takes them. A file is trusted as little as any other request: what is not here is refused.

const name = z.string().min(1).max(255);
const names = z.array(name).max(256);
const idOf = (prefix: string) => z.string().regex(new RegExp(`^${prefix}_[0-9a-zA-Z]{1,64}$`), `an id of this kind: ${prefix}_…`);
const seq = z.int().min(1).max(1e15);
const count = z.int().min(0).max(1e15);
const sensitivity = z.enum(['none', 'low', 'high', 'secret']);
const channel = z.enum(channels);
const bytea = z.string().regex(/^\\x(?:[0-9a-f]{2})*$/, 'bytes as PostgreSQL writes them');
const object = z.record(z.string(), z.unknown());
const scope = z.enum(['policy', 'project', 'user', 'session', 'global']);
const status = z.enum(['active', 'proposed', 'rejected', 'superseded', 'deleted', 'expired']);

export const header = z.strictObject({
  type: z.literal('header'),
  format: z.literal('agent-memory'),
  format_version: z.literal(FORMAT_VERSION),
  tenant_id: name,
  created_at: time,
  partial: z.literal(false, 'an export of what one member may see cannot be imported'),
  as_of_seq: count,
  oldest_seq: seq,
  stored_bytes: count,
  counts: z.record(z.string().max(64), count),
});
export type Header = z.output<typeof header>;

export const tenantLine = z.strictObject({
  type: z.literal('tenant'),
  language: z.string().regex(/^[a-z_]{1,63}$/),
  settings: tenantSettings,
});
export type TenantLine = z.output<typeof tenantLine>;

// What the service says of its forgetting is never erased: it may say nothing else.
const figures = z.record(z.string().regex(/^[a-z_]{1,40}$/), count);
const forgotten = {
  'erasure.completed': z.strictObject({
    kind: z.enum(['user_id', 'session_id', 'project_id', 'agent_id']),
    subject_hash: z.string().regex(/^erased_[0-9a-f]{32}$/),
    upto_seq: count,
    counts: figures,
    certificate: z.string().regex(/^[0-9a-f]{64}$/),
  }),
  'retention.forgot': z.strictObject({
    counts: figures,
    first_seq: seq.nullable(),
    last_seq: seq.nullable(),
    rules: policyBody.shape.rules,
  }),
};

interface Forgetting {
  kind: string;
  session_id: string;
  actor_id: string;
  user_id: string | null;
  agent_id: string | null;
  project_id: string | null;
  content: unknown;
  metadata: object;
  tags: string[];
  refs: string[];
}

function isAsSaid(event: Forgetting): boolean {
  const form = Object.hasOwn(forgotten, event.kind) ? forgotten[event.kind as keyof typeof forgotten] : undefined;
  if (!form) return true;
  const names = [event.session_id, event.actor_id, event.user_id, event.agent_id, event.project_id].join('/');
  const { tags, refs, metadata } = event;
  return (
    /^job_[0-9a-z]+\/agent-memory\/(?:agent-memory|erased_[0-9a-f]{32})\/\/$/.test(names) &&
    Object.keys(metadata).length + tags.length + refs.length === 0 &&
    form.safeParse(event.content).success
  );
}

/** What is private is somebody's: without a name nobody would see it. */
const isOwned = ({ channel, user_id }: { channel: string; user_id: string | null }) => channel !== 'private' || user_id !== null;
const unowned = { path: ['user_id'], message: 'required in the channel private' };

const plainEvent = z.strictObject({
  type: z.literal('event'),
  seq,
  event_id: idOf('evt'),
  session_id: name,
  channel,
  actor_type: z.enum(['human', 'agent', 'tool']),
  actor_id: name,
  kind: z.string().regex(/^[a-z][a-z_.]{0,63}$/),
  content: object,
  user_id: name.nullable(),
  agent_id: name.nullable(),
  project_id: name.nullable(),
  sensitivity,
  tags: names,
  refs: names,
  metadata: object,
  artifact_id: idOf('art').nullable(),
  redactions: z.int().min(1).nullable().default(null),
  chunk_count: z.int().min(0).max(32_767),
  byte_count: z.int().min(0),
  occurred_at: time,
  created_at: time,
  // that nothing is left of such an event is a constraint of the table
  erased_at: time.nullable(),
  carried_at: time.nullable().default(null).describe('of what a trim kept before the log’s beginning'),
});
const event = plainEvent.refine(isAsSaid, 'not in the form that the service writes').refine(isOwned, unowned);

const artifact = z.strictObject({
  type: z.literal('artifact'),
  artifact_id: idOf('art'),
  event_id: idOf('evt'),
  media_type: z.string().max(255),
  byte_count: z.int().min(0),
  sha256: bytea,
  channel,
  sensitivity,
  user_id: name.nullable(),
  created_at: time,
});
export type ArtifactLine = z.output<typeof artifact>;

export const piece = z.strictObject({
  type: z.literal('piece'),
  artifact_id: idOf('art'),
  at: z.int().min(0),
  base64: z.base64().max(128 * 1024),
});

const memory = z.strictObject({
  type: z.literal('memory'),
  memory_id: idOf('mem'),
  kind: z.enum(['decision', 'task', 'fact', 'preference', 'rule', 'note', 'summary', 'handoff']),
  scope,
  scope_id: name.nullable(),
  status,
  version: z
    .int()
    .min(1)
    .max(2 ** 31 - 1),
  content_seq: seq,
  last_seq: seq,
  user_id: name.nullable(),
  agent_id: name.nullable(),
  session_id: name.nullable(),
  project_id: name.nullable(),
  channel,
  sensitivity,
  text_hash: bytea.length(66),
  importance: z.number().min(0).max(1),
  pinned: z.boolean(),
  repeats: z
    .int()
    .min(0)
    .max(2 ** 31 - 1),
  tags: names,
  valid_from: time.nullable(),
  valid_to: time.nullable(),
  expires_at: time.nullable(),
  superseded_by: idOf('mem').nullable(),
  task_status: z.enum(['open', 'doing', 'blocked', 'done']).nullable(),
  doing_agent: name.nullable(),
  marks: z.array(z.string().max(64)).max(16),
  created_at: time,
  updated_at: time,
});

const memoryVersion = z.strictObject({
  type: z.literal('memory_version'),
  memory_id: idOf('mem'),
  version: z
    .int()
    .min(1)
    .max(2 ** 31 - 1),
  seq,
  content_seq: seq,
  status,
});

const edit = z.strictObject({
  type: z.literal('edit'),
  edit_id: idOf('edt'),
  status: z.enum(['pending', 'approved', 'rejected', 'reverted']),
  version: z
    .int()
    .min(1)
    .max(2 ** 31 - 1),
  target: name,
  seq,
  event_id: idOf('evt'),
  ordinal: z.int().min(0).max(32_767).nullable(),
  memory_id: idOf('mem').nullable(),
  op: z.enum(['retract', 'amend', 'quarantine', 'attenuate', 'block']),
  reason: z.string().max(10_000),
  patch: object,
  passages: z.array(object).max(32_767).nullable(),
  session_id: name,
  channel,
  user_id: name.nullable(),
  agent_id: name.nullable(),
  project_id: name.nullable(),
  sensitivity,
  proposed_by: object,
  principal: name,
  decided_by: object.nullable(),
  proposed_seq: seq,
  approved_seq: seq.nullable(),
  last_seq: seq,
  created_at: time,
  updated_at: time,
});

const editEvent = z.strictObject({ type: z.literal('edit_event'), seq, edit_id: idOf('edt') });

const overlay = z.strictObject({
  type: z.literal('overlay'),
  seq,
  content: object.nullable(),
  blocked_in: z.array(channel).max(4).nullable(),
  chunk_count: z.int().min(0).max(32_767),
  weight: z.number().min(0).max(1).nullable(),
  edit_ids: z.array(idOf('edt')).max(1000),
  base: z.array(object).max(10_000),
});

const capsule = z.strictObject({
  type: z.literal('capsule'),
  capsule_id: idOf('cap'),
  seq,
  user_id: name.nullable(),
  agent_id: name.nullable(),
  project_id: name.nullable(),
  channel,
  tags: names,
  for_all: z.boolean(),
  audience_users: names,
  audience_agents: names,
  items: names.min(1).max(200),
  item_channels: z.array(channel).max(4),
  item_sensitivities: z.array(sensitivity).max(4),
  created_at: time,
  expires_at: time,
  revoked_at: time.nullable(),
  revoked_seq: seq.nullable(),
});

const retentionPolicy = z.strictObject({
  type: z.literal('retention_policy'),
  ...policyBody.shape,
  version: z
    .int()
    .min(1)
    .max(2 ** 31 - 1),
  updated_at: time,
  last_run_at: time.nullable(),
});

export const end = z.strictObject({
  type: z.literal('end'),
  counts: z.record(z.string().max(64), count),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

/** A line for each row of a part. */
export const rows: Record<string, z.ZodType<{ type: string }>> = {
  memory: memory.refine(isOwned, unowned),
  edit: edit.refine(isOwned, unowned),
  edit_event: editEvent,
  overlay,
  capsule,
  retention_policy: retentionPolicy,
  artifact: artifact.refine(isOwned, unowned),
  event,
  memory_version: memoryVersion,
};

export const imported = z
  .object({
    job_id: z.string().describe('makes the searchable passages; answers say `partial_index` until it is done'),
    as_of_seq: z.int(),
    counts: z.record(z.string(), z.int()).describe('lines of each type'),
  })
  .meta({ id: 'Imported' });
