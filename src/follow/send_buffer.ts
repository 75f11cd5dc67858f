import type { ServerResponse } from 'node:http';

// The messages of a stream that its client has not taken yet. Pieces are handed to the socket one at a time, so that the memory of a slow client
// is known and bounded, and can be released at once.

export const messageTypes = ['event', 'put', 'delete', 'expired'] as const;
export type MessageType = (typeof messageTypes)[number];

/** Consecutive messages. */
export interface Piece {
  bytes: Buffer;
  /** The type of each message. */
  types: MessageType[];
  /** The seq of the last message. */
  upto: number;
}

/** Limits of a buffer, or its content: the number of messages and their size. */
export interface BufferSize {
  events: number;
  bytes: number;
}

/** Memory of all buffers of a daemon. Beyond it, a stream reads only after its client has taken everything. */
const MAX_TOTAL_BYTES = 128 * 1024 * 1024;
/** A client that takes no piece for this long while its buffer is full is too slow. */
const STALLED_MS = 5_000;

export interface BufferOptions {
  limits: BufferSize;
  /** The size of the batch that a read adds at most, apart from a single larger message. */
  batch: BufferSize;
  /** The memory of all buffers of the daemon. */
  total: { bytes: number };
  /** Called with the types of the messages of each piece that is handed to the socket. */
  onSent(types: MessageType[]): void;
}

export interface SendBuffer {
  /** Returns the position up to which everything has been handed to the socket. */
  sent(): number;
  /** Returns true if everything has been handed to the socket, which has accepted it. */
  isIdle(): boolean;
  /** Adds pieces. `upto`: the position that the client has reached when it has them. */
  push(pieces: Piece[], upto: number): void;
  /** Waits until another batch fits. Resolves to false if the client takes nothing for too long, and to true if the buffer is closed. */
  waitForRoom(): Promise<boolean>;
  /** Discards what has not been handed to the socket, and returns the number of discarded messages. */
  close(): number;
}

export function createSendBuffer(res: ServerResponse, start: number, options: BufferOptions): SendBuffer {
  const { limits, batch, total, onSent } = options;
  const queue: Piece[] = [];
  const held = { events: 0, bytes: 0 };
  let sent = start;
  let writing = false;
  let closed = false;
  let progress = (_taken: boolean) => {};

  const count = ({ bytes, types }: Piece, by: 1 | -1) => {
    held.events += by * types.length;
    held.bytes += by * bytes.length;
    total.bytes += by * bytes.length;
  };

  const isIdle = () => queue.length === 0 && !writing;

  const hasRoom = () =>
    isIdle() ||
    (held.events + batch.events <= limits.events &&
      held.bytes + batch.bytes <= limits.bytes &&
      total.bytes + batch.bytes <= MAX_TOTAL_BYTES);

  function write(): void {
    const piece = writing ? undefined : queue.shift();
    if (!piece) return;
    writing = true;
    sent = piece.upto;
    onSent(piece.types);
    res.write(piece.bytes, () => {
      if (closed) return;
      writing = false;
      count(piece, -1);
      progress(true);
      write();
    });
  }

  const nextProgress = () =>
    new Promise<boolean>((resolve) => {
      const stalled = setTimeout(() => progress(false), STALLED_MS);
      progress = (taken) => {
        clearTimeout(stalled);
        resolve(taken);
      };
    });

  return {
    sent: () => sent,
    isIdle,
    push: (pieces, upto) => {
      if (closed) return;
      // pieces are shared with other streams, so the last one is copied
      const last = queue.at(-1);
      if (pieces.length > 0) queue.push(...pieces.slice(0, -1), { ...pieces.at(-1)!, upto });
      else if (last) last.upto = upto;
      else sent = upto;
      for (const piece of pieces) count(piece, 1);
      write();
    },
    waitForRoom: async () => {
      while (!closed && !hasRoom()) if (!(await nextProgress())) return false;
      return true;
    },
    close: () => {
      const discarded = queue.reduce((sum, { types }) => sum + types.length, 0);
      closed = true;
      total.bytes -= held.bytes;
      Object.assign(held, { events: 0, bytes: 0 });
      queue.length = 0;
      progress(true);
      return discarded;
    },
  };
}
