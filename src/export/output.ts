import { createHash } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { CHUNK_TIMEOUT_MS, writeChunked } from '../http/write_chunked.ts';

// Writes an export to the client at the speed at which the client reads. A client that stops reading is disconnected.

/** The client has disconnected or stopped reading. */
export class ClientGone extends Error {
  constructor() {
    super('the reader of an export is gone');
    this.name = 'ClientGone';
  }
}

export interface Output {
  /** Writes whole lines with their newlines. */
  write(lines: string | Buffer): Promise<void>;
  /** Returns the SHA-256 of everything written, in hex. */
  digest(): string;
}

export function openOutput(res: ServerResponse, piece_ms = CHUNK_TIMEOUT_MS): Output {
  const hash = createHash('sha256');
  return {
    write: async (lines) => {
      const bytes = typeof lines === 'string' ? Buffer.from(lines) : lines;
      hash.update(bytes);
      if (!(await writeChunked(res, bytes, piece_ms))) throw new ClientGone();
    },
    digest: () => hash.copy().digest('hex'),
  };
}
