import type { EventRow } from '../db/unit.ts';
import type { Passage } from './passages.ts';

/** The validity of passages, if it is limited. RFC 3339. */
export interface Validity {
  valid_from?: string | undefined;
  valid_to?: string | undefined;
  expires_at?: string | undefined;
}

/** Adds passages to an event; passages_apply writes them. */
export function withPassages(row: EventRow, chunks: Passage[], { valid_from, valid_to, expires_at }: Validity = {}): EventRow {
  if (chunks.length === 0) return row;
  return {
    ...row,
    chunk_count: chunks.length,
    effects: { ...row.effects, passages: { chunks, valid_from, valid_to, expires_at } },
  };
}
