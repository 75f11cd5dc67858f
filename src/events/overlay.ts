import { type Channel, isHiddenById, isHiddenInLists } from '../auth/index.ts';
import type { Event } from './schemas.ts';

// How an event reads under its approved edits. The event itself stays as it was.

/** What the overlays say of an event; null where nothing does. */
export interface Overlay {
  edit_ids: string[] | null;
  /** Instead of its content. */
  edited: Record<string, unknown> | null;
  blocked_in: string[] | null;
  edited_count: number | null;
}

/** Who looks: a request in a channel, one in all of a credential's, a look-up by id with them, or an admin, who sees the original by id. */
export type EventView = { channel: Channel } | { channels: Channel[] } | { asking: Channel[] } | 'original';

/** `chunkIds` names so many passages of the event. */
export function applyEdits(event: Event, overlay: Overlay, look: EventView, chunkIds: (count: number) => string[]): Event {
  const { edit_ids, edited, blocked_in, edited_count } = overlay;
  if (edit_ids === null) return event;
  if (look === 'original') return { ...event, edit_ids };
  if (isHidden(event, blocked_in, look) || edited?.withheld === true) return withholdContent(event, edit_ids);
  if (edited === null) return { ...event, edit_ids };
  // what it was amended from may be in its artifact
  const { artifact_id: _, ...rest } = event;
  return { ...rest, content: edited, chunk_ids: chunkIds(edited_count ?? 0), edit_ids };
}

function isHidden(event: Event, blocked: string[] | null, look: Exclude<EventView, 'original'>): boolean {
  if ('channel' in look) return (blocked ?? []).includes(look.channel);
  return 'channels' in look ? isHiddenInLists(blocked, look.channels, event) : isHiddenById(blocked, look.asking);
}

/** Its place in the log and nothing of what it says. */
function withholdContent({ artifact_id: _, ...event }: Event, edit_ids: string[]): Event {
  return { ...event, content: { withheld: true, edit_ids }, tags: [], refs: [], metadata: {}, chunk_ids: [], edit_ids };
}
