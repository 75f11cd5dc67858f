import { type Channel, isHiddenById, isHiddenInLists } from '../auth/index.ts';
import type { Event } from './schemas.ts';

// Applies the approved edits to an event when it is read. The event itself does not change.

/** The combined edits of an event; null fields if there are none. */
export interface Overlay {
  edit_ids: string[] | null;
  /** The content that replaces that of the event. */
  edited: Record<string, unknown> | null;
  blocked_in: string[] | null;
  edited_count: number | null;
}

/**
 * The kind of read: in one channel, in all channels of a credential (`channels`), by id with these channels (`asking`), or by id by an admin, who
 * sees the original.
 */
export type EventView = { channel: Channel } | { channels: Channel[] } | { asking: Channel[] } | 'original';

/** `chunkIds` returns the ids of the first `count` passages of the event. */
export function applyEdits(event: Event, overlay: Overlay, view: EventView, chunkIds: (count: number) => string[]): Event {
  const { edit_ids, edited, blocked_in, edited_count } = overlay;
  if (edit_ids === null) return event;
  if (view === 'original') return { ...event, edit_ids };
  if (isHidden(event, blocked_in, view) || edited?.withheld === true) return withholdContent(event, edit_ids);
  if (edited === null) return { ...event, edit_ids };
  // the artifact may contain the original text
  const { artifact_id: _, ...rest } = event;
  return { ...rest, content: edited, chunk_ids: chunkIds(edited_count ?? 0), edit_ids };
}

function isHidden(event: Event, blocked: string[] | null, view: Exclude<EventView, 'original'>): boolean {
  if ('channel' in view) return (blocked ?? []).includes(view.channel);
  return 'channels' in view ? isHiddenInLists(blocked, view.channels, event) : isHiddenById(blocked, view.asking);
}

/** Keeps the position of the event in the log and removes everything that it states. */
function withholdContent({ artifact_id: _, ...event }: Event, edit_ids: string[]): Event {
  return { ...event, content: { withheld: true, edit_ids }, tags: [], refs: [], metadata: {}, chunk_ids: [], edit_ids };
}
