import { createHash } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { CHUNK_TIMEOUT_MS, writeChunked } from '../http/write_chunked.ts';

// The client's end of an export: it takes as long as the client reads, and is cut off where nothing is taken any more.

/** The client is gone, or reads no more. */
export class ClientGone extends Error {
  constructor() {
    super('the reader of an export is gone');
    this.name = 'ClientGone';
  }
}

export interface Output {
  /** Whole lines, each with its end. */
  write(lines: string | Buffer): Promise<void>;
  /** Hex SHA-256 of all that was written. */
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
