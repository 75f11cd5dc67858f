import { MAX_PASSAGES } from './passages.ts';

export interface ChunkPosition {
  event_id: string;
  ordinal: number;
}

/** Returns the id of a chunk, which consists of the id of its event and its ordinal. */
export const chunkId = (event_id: string, ordinal: number): string => `chk_${event_id.slice(4)}_${ordinal}`;

/** Parses the id of a chunk. Returns undefined if it is not a valid one. */
export function parseChunkId(id: string): ChunkPosition | undefined {
  const [, event, digits] = /^chk_([0-9a-z]{1,64})_(\d{1,5})$/.exec(id) ?? [];
  const ordinal = Number(digits);
  return event !== undefined && ordinal < MAX_PASSAGES ? { event_id: `evt_${event}`, ordinal } : undefined;
}
