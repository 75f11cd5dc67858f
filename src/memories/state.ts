import type { Principal } from '../auth/index.ts';
import { actorOf, agentOf, isAdmin, requireChannel, subjectOf } from '../auth/index.ts';
import { type EventRow, serviceEventOf } from '../db/unit.ts';
import { type FieldError, Problem } from '../http/problem.ts';
import { newId } from '../id.ts';
import { type Passage, passagesOf, withPassages } from '../passages/index.ts';
import type { RefLimits } from '../refs/index.ts';
import type { Sealed } from '../seal.ts';
import type { AsyncScreener } from '../secrets/index.ts';
import { type MemoryEffect, sha256Hex } from './effect.ts';
import { timeFaults } from './field_rules.ts';
import { type Actor, assertMayCreate, isGuarded, trustOf } from './rights.ts';
import { bodies, type Memory, type MemoryKind, type MemoryPatch, type MemoryScope, type NewMemory } from './schemas.ts';
import type { NeedsSource } from './sources.ts';

// The new state of a memory: the source of its event and of its effect.

/** The fields of a version of a memory. */
export interface State {
  memory_id: string;
  kind: MemoryKind;
  text: string;
  body: Record<string, unknown>;
  scope: MemoryScope;
  status: 'active' | 'proposed';
  user_id: string | undefined;
  agent_id: string | undefined;
  session_id: string | undefined;
  project_id: string | undefined;
  channel: string;
  sensitivity: string;
  tags: string[];
  refs: string[];
  metadata: Record<string, unknown>;
  importance: number;
  pinned: boolean;
  valid_from: string | undefined;
  valid_to: string | undefined;
  expires_at: string | undefined;
  supersedes: string | undefined;
  origin: Actor;
  trust: Memory['trust'];
  /** Number of redacted spans. */
  redactions?: number | undefined;
  /** The encrypted original, before secrets were redacted. */
  sealed?: Sealed;
  /** Fail if an active memory has the same content. */
  only_new?: boolean;
}

const IMPORTANCE: Record<MemoryKind, number> = {
  decision: 1,
  rule: 1,
  handoff: 0.9,
  task: 0.8,
  preference: 0.7,
  fact: 0.5,
  summary: 0.5,
  note: 0.3,
};

export function stateOf(principal: Principal, input: NewMemory, pointer: string): State {
  requireChannel(principal, input.channel);
  const agent_id = agentOf(principal, input.agent_id);
  const actor: Actor = actorOf(principal, agent_id, input.actor);
  assertMayCreate(input.kind, actor);
  const scope = input.scope ?? defaultScope(input);
  const state: State = {
    ...input,
    memory_id: newId('mem'),
    text: input.text ?? (input.body as { problem: string }).problem,
    body: input.body,
    scope,
    status: isGuarded({ ...input, scope }) && !isAdmin(principal) ? 'proposed' : 'active',
    user_id: subjectOf(principal, input.user_id, isPersonal({ ...input, scope }), { pointer: `${pointer}/user_id` }),
    agent_id,
    session_id: input.session_id,
    project_id: input.project_id,
    importance: input.importance ?? IMPORTANCE[input.kind],
    valid_from: input.valid_from,
    valid_to: input.valid_to,
    expires_at: input.expires_at,
    supersedes: input.supersedes,
    origin: actor,
    trust: trustOf(principal, actor),
  };
  return state;
}

/** Returns true if the memory must have a subject. */
const isPersonal = ({ channel, kind, scope }: Pick<State, 'channel' | 'kind' | 'scope'>): boolean =>
  channel === 'private' || kind === 'preference' || scope === 'user';

function defaultScope({ kind, project_id }: NewMemory): MemoryScope {
  if (project_id !== undefined) return 'project';
  return kind === 'preference' ? 'user' : 'global';
}

/** Returns the state of a memory with a patch applied (RFC 7396). */
export function patched(principal: Principal, current: Memory, patch: MemoryPatch): State {
  const actor = actorOf(principal, undefined, patch.actor);
  assertMayCreate(current.kind, actor);
  // the admin who approved a task did not approve a member's update of it
  const isRestated =
    patch.text !== undefined || patch.body !== undefined || (current.trust === 'approved' && !isAdmin(principal));
  const state: State = {
    ...carriedState(current),
    ...(isRestated && { origin: actor, trust: trustOf(principal, actor) }),
    text: patch.text ?? current.text,
    body: patch.body === undefined ? current.body : mergedBody(current, patch.body),
    tags: patchedField(patch.tags, current.tags, []),
    refs: patchedField(patch.refs, current.refs, []),
    importance: patchedField(patch.importance, current.importance, IMPORTANCE[current.kind]),
    pinned: patchedField(patch.pinned, current.pinned, false),
    valid_from: patchedField(patch.valid_from, current.valid_from, undefined),
    valid_to: patchedField(patch.valid_to, current.valid_to, undefined),
    expires_at: patchedField(patch.expires_at, current.expires_at, undefined),
    metadata: patch.metadata === null ? {} : (merge(current.metadata, patch.metadata ?? {}) as Record<string, unknown>),
  };
  refuseTimes(state);
  return state;
}

const patchedField = <T, D>(value: T | null | undefined, current: T | D, defaultValue: D): T | D =>
  value === undefined ? current : (value ?? defaultValue);

/** Returns the state of a proposal after an admin has approved it. */
export const approved = (current: Memory): State => ({ ...carriedState(current), status: 'active', trust: 'approved' });

const carriedState = (current: Memory): State => ({
  ...current,
  status: current.status === 'proposed' ? 'proposed' : 'active',
  user_id: current.user_id,
  agent_id: current.agent_id,
  session_id: current.session_id,
  project_id: current.project_id,
  valid_from: current.valid_from,
  valid_to: current.valid_to,
  expires_at: current.expires_at,
  // a supersession happens once; only that of a proposal is still to come
  supersedes: current.status === 'proposed' ? current.supersedes : undefined,
});

function mergedBody({ kind, body }: Memory, patch: Record<string, unknown>): Record<string, unknown> {
  const { success, data, error } = bodies[kind].safeParse(merge(body, patch));
  if (success) return data;
  throw new Problem('validation', error.issues[0]!.message, {
    errors: error.issues
      .slice(0, 20)
      .map(({ path, message }) => ({ pointer: ['#/body', ...path.map(String)].join('/'), detail: message })),
  });
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** RFC 7396. */
function merge(target: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return patch;
  const result: Record<string, unknown> = isRecord(target) ? { ...target } : {};
  for (const [field, value] of Object.entries(patch))
    if (value === null) delete result[field];
    else result[field] = merge(result[field], value);
  return result;
}

function refuseTimes(state: State): void {
  const faults = timeFaults(state);
  if (faults.length === 0) return;
  const errors: FieldError[] = faults.map(({ field, detail }) => ({ pointer: `#/${field}`, detail }));
  throw new Problem('validation', `${faults[0]!.field}: ${faults[0]!.detail}.`, { errors });
}

export interface MemoryLimits extends RefLimits {
  /** Maximum number of bytes of an event's content and metadata. */
  maxEventBytes: number;
  /** Maximum number of bytes of the passages of one request. */
  maxTextBytes: number;
  screener: AsyncScreener;
  /** Which kinds need a source in the tenant. */
  needsSource: NeedsSource;
}

/** Returns the event of a version of a memory, its passages, and the bytes that they add to the tenant's quota. */
export function eventOf(
  state: State,
  kind: string,
  actor: Actor,
  limits: MemoryLimits,
  pointer = '#',
): { row: EventRow; passages: Passage[]; bytes: number } {
  const { memory_id, user_id, channel, agent_id, project_id, sensitivity, tags, refs, metadata } = state;
  const { text, body, scope, status, importance, pinned, valid_from, valid_to, expires_at, supersedes, origin, trust } = state;
  const row = serviceEventOf({
    kind,
    session_id: state.session_id ?? memory_id,
    channel,
    ...(user_id !== undefined && { user_id }),
    ...(agent_id !== undefined && { agent_id }),
    ...(project_id !== undefined && { project_id }),
    actor_type: actor.type,
    actor_id: actor.id,
    sensitivity,
    tags,
    refs,
    metadata,
    ...(state.redactions !== undefined && { redactions: state.redactions }),
    content: {
      memory_id,
      kind: state.kind,
      text,
      body,
      scope,
      status,
      importance,
      pinned,
      valid_from,
      valid_to,
      expires_at,
      supersedes,
      origin,
      trust,
      sealed: state.sealed,
    },
  });
  const bytes = Buffer.byteLength(JSON.stringify(row));
  if (bytes > limits.maxEventBytes)
    throw new Problem('too-large', `A memory can have at most ${limits.maxEventBytes} bytes; it has ${bytes}.`, {
      errors: [{ pointer, detail: `must have at most ${limits.maxEventBytes} bytes, has ${bytes}` }],
    });
  const passages = sensitivity === 'secret' ? [] : passagesOf(row);
  return { row: withPassages(row, passages, state), passages, bytes: bytes + Buffer.byteLength(JSON.stringify(passages)) };
}

/** Returns the effect for memories_apply or revise_memory. */
export function effectOfState(state: State): MemoryEffect {
  const { memory_id, kind, scope, status, importance, pinned, valid_from, valid_to, expires_at, supersedes, body } = state;
  const task = kind === 'task' ? (body as { task_id?: string; status: string }) : undefined;
  return {
    memory_id,
    kind,
    scope,
    status,
    importance,
    pinned,
    text_hash: sha256Hex(task?.task_id ?? state.text),
    ...(valid_from !== undefined && { valid_from }),
    ...(valid_to !== undefined && { valid_to }),
    ...(expires_at !== undefined && { expires_at }),
    // a proposal supersedes nothing before it is approved
    ...(supersedes !== undefined && status === 'active' && { supersedes }),
    ...(task && { task_status: task.status }),
    ...(task?.task_id !== undefined && { task_ref: task.task_id }),
    ...(state.only_new && { only_new: true }),
  };
}
