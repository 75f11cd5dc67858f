/**
 * Returns a function that buffers the bytes of a PostgreSQL client and returns complete protocol messages. pglite-socket concatenates its
 * whole buffer for each 64 KiB received: a parameter of 32 MiB took 6.7 s, longer than the query timeout. Complete messages avoid that.
 */
export function createMessageFramer(): (chunk: Buffer) => Buffer | undefined {
  let waiting: Buffer[] = [];
  let bytes = 0;
  /** Number of bytes needed before the buffer can contain another message. */
  let needed = 8;
  let started = false;

  return (chunk) => {
    waiting.push(chunk);
    bytes += chunk.length;
    if (bytes < needed) return undefined;
    const all = waiting.length === 1 ? chunk : Buffer.concat(waiting);
    const end = endOfMessages(all);
    const rest = all.subarray(end);
    waiting = rest.length > 0 ? [rest] : [];
    bytes = rest.length;
    return end > 0 ? all.subarray(0, end) : undefined;
  };

  function endOfMessages(all: Buffer): number {
    let end = 0;
    for (;;) {
      const length = messageLength(all, end);
      needed = length ?? (started ? 5 : 8);
      if (length === undefined || end + length > all.length) return end;
      started ||= all.readInt32BE(end + 4) === PROTOCOL_3;
      end += length;
    }
  }

  /** Returns undefined if the length has not been received. Messages up to the startup message have no type byte before their length. */
  function messageLength(all: Buffer, at: number): number | undefined {
    // An impossible length is passed on, and the engine rejects it.
    if (!started) return all.length - at >= 8 ? Math.max(all.readInt32BE(at), 8) : undefined;
    return all.length - at >= 5 ? 1 + Math.max(all.readInt32BE(at + 1), 4) : undefined;
  }
}

const PROTOCOL_3 = 196_608;
