import { actorOf, type Channel, type Principal } from '../auth/index.ts';
import { type EventRow, serviceEventOf } from '../db/unit.ts';

// Builds the log events of edits. They omit the text of an amendment: only the edit has it, so a later edit of the same item leaves no copy behind.

/** The fields of the edited event that the events of the edit repeat. */
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

/** Builds an event of an edit, which is as visible as the edited item. */
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

const editableKind = /^(?:message|tool_call|tool_result|decision|task_update|artifact|memory\..+)$/;

/** Returns true for kinds of events with a text. Other events of the service cannot be edited. */
export const isEditable = (kind: string): boolean => editableKind.test(kind);
