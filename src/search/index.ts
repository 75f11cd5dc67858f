import type { ChunkRow, EventRow } from '../db/commit.ts';

/** Placeholder door until the search feature lands: one passage of the event's main text. */
export function passagesOf(event: EventRow, fullText?: string): ChunkRow[] {
  const content = event.content as Record<string, unknown>;
  const text =
    fullText ?? [content.text, content.excerpt_text, content.decision, content.title].find((v) => typeof v === 'string');
  return typeof text === 'string' && text.trim()
    ? [{ text: text.slice(0, 8000), header: event.actor_id, token_count: Math.ceil(text.length / 4) }]
    : [];
}
