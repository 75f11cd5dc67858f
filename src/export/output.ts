import { createHash } from 'node:crypto';
import type { ServerResponse } from 'node:http';

// The client's end of an export: it takes as long as the client reads, and is cut off where nothing is taken any more.

/** The client is gone, or reads no more. */
export class ReaderGone extends Error {
  constructor() {
    super('the reader of an export is gone');
    this.name = 'ReaderGone';
  }
}

export interface Output {
  /** Whole lines, each with its end. */
  write(lines: string | Buffer): Promise<void>;
  /** Hex SHA-256 of all that was written. */
  digest(): string;
}

export function openOutput(res: ServerResponse, idle_ms: number): Output {
  const hash = createHash('sha256');
  return {
    write: async (lines) => {
      if (res.destroyed) throw new ReaderGone();
      const bytes = typeof lines === 'string' ? Buffer.from(lines) : lines;
      hash.update(bytes);
      if (!res.write(bytes)) await drained(res, idle_ms);
    },
    digest: () => hash.copy().digest('hex'),
  };
}

/** Until the client has taken what waits for it. One that takes a little at a time is waited for; one that takes nothing is not. */
function drained(res: ServerResponse, idle_ms: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let before = res.socket?.bytesWritten;
    const watch = setInterval(() => {
      if (res.socket?.bytesWritten === before) done();
      before = res.socket?.bytesWritten;
    }, idle_ms);
    const done = (taken = false) => {
      clearInterval(watch);
      res.off('drain', onDrain).off('close', onClose);
      if (taken) resolve();
      else reject(new ReaderGone());
    };
    const onDrain = () => done(true);
    const onClose = () => done();
    res.once('drain', onDrain).once('close', onClose);
    if (res.destroyed) done();
  });
}
