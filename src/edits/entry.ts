import { actorOf, type Channel, type Principal } from '../auth/index.ts';
import { type EventRow, serviceEventOf } from '../db/unit.ts';

// What the log says of an edit. Never its text: that stands in the edit alone, so that an edit of the edited leaves none behind.

/** What an edit is about, as far as its events repeat it. */
export interface EditScope {
  event_id: string;
  memory_id: string | null;
  session_id: string;
  channel: Channel;
  user_id: string | null;
  agent_id: string | null;
  project_id: string | null;
  sensitivity: string;
}

export interface EditContent {
  edit_id: string;
  target: string;
  op: string;
  reason: string;
  patch: Record<string, unknown>;
}

/** An event of an edit is as visible as what it is about. */
export function editEntry(principal: Principal, what: string, about: EditScope, { patch, ...edit }: EditContent): EventRow {
  const { text: _, ...rest } = patch;
  const actor = actorOf(principal);
  return serviceEventOf({
    kind: `edit.${what}`,
    session_id: about.session_id,
    channel: about.channel,
    ...(about.user_id !== null && { user_id: about.user_id }),
    ...(about.agent_id !== null && { agent_id: about.agent_id }),
    ...(about.project_id !== null && { project_id: about.project_id }),
    sensitivity: about.sensitivity,
    actor_type: actor.type,
    actor_id: actor.id,
    content: { edit_id: edit.edit_id, target: edit.target, op: edit.op, reason: edit.reason, patch: rest },
    refs: [about.event_id, ...(about.memory_id === null ? [] : [about.memory_id])],
  });
}

const eventKind = /^(?:message|tool_call|tool_result|decision|task_update|artifact|memory\..+)$/;

/** What the service itself says in the log is no text of anyone's, but for memories. */
export const isEditable = (kind: string): boolean => eventKind.test(kind);
